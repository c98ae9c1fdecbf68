// Package bench measures the engine: store, ticker, executor and lease as the
// server wires them, without its doors; and, where callers, memory or faults
// count, the whole program in processes of its own.
//
// Rules:
//   - Jobs are real: rows of jobs and schedules, half of them cron jobs in a
//     zone with daylight saving time and half interval jobs, with a workflow of
//     one util.noop task. Only their creation is done in bulk.
//   - Every execution keeps claim, start, end, outcome and log reference, and
//     each of these is durable: fsync is on, on both databases.
//   - After every run the database is asked whether each job has exactly one
//     execution in the history, SUCCEEDED, and nothing is left active or due. A
//     run that fails this is an error, not a figure.
//   - The main figure is processor time, of this program and of every process
//     of the database server, since it depends on the neighbours less than
//     elapsed time does. The limit to compare with is raw SQL: the same
//     statements on the same rows, their arguments prepared before, in turns
//     with the engine in the same run.
//   - The database server is on this machine, or its processes can't be read.
package bench
