// Package job holds the values that every other package speaks of: instances,
// resources, clients, jobs, schedules, executions, skips, and the errors that
// callers must be able to tell apart.
//
// Rules:
//   - No I/O and no imports beyond the standard library.
//   - Every time is UTC and cut to whole microseconds ([Time]).
//   - An identifier is a positive int64 up to 2^53-1; its text form with a
//     prefix (job_19) is for callers only ([Kind]).
//   - An error that a caller chooses by is one of the types in errors.go.
//     Everything else is plain fmt.Errorf text and is never shown to clients.
package job
