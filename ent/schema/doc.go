// Package schema describes the tables.
//
// Rules:
//   - Times are int64 microseconds since 1970 in UTC, 0 for none: exact and
//     comparable on both databases, without a driver's idea of a zone.
//   - Identifiers are int64 and are never used again after a delete.
//   - What every claim touches is narrow (schedules, active_executions); what
//     only people read is elsewhere (jobs, executions).
//   - Hot tables have no foreign keys: the transactions that write them hold
//     the lock on the job's schedule row.
package schema
