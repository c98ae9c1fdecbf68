// Package schema describes the tables.
//
// Rules:
//   - Times are int64 microseconds since 1970 in UTC, 0 for none: exact and
//     comparable on both databases, without a driver's idea of a zone.
//   - Identifiers are int64 and are never used again after a delete.
//   - What every claim touches is narrow (schedules, active_executions); what
//     only people read is elsewhere (jobs, executions).
//   - A column keeps the name that it was released with, for the replicas of
//     the version before: a better one is the field's (StorageKey).
//   - Hot tables have no foreign keys: the transactions that write them hold
//     the lock on the job's schedule row.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/field"
)

// givenID is the key of a row that takes over the id of another one: it is
// never generated.
func givenID() ent.Field {
	generated := false
	return field.Int64("id").Annotations(entsql.Annotation{Incremental: &generated})
}
