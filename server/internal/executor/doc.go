// Package executor runs claimed executions and records how they end. It is the
// only caller of tasks.
//
// Rules:
//   - An execution starts at its time, not before, from a timer. One that was
//     claimed ahead is looked at once more at that moment: if its job was
//     paused, edited or deleted since, it does not start.
//   - A start is not written by itself. What ends within [Options.ReportAfter]
//     is written once, at its end; what runs longer is reported then, and again
//     when a task changes.
//   - Ends are written in groups: all that ended while the last group was being
//     written. A group that can't be written is tried again until the lease is
//     lost; every write carries the attempt's fence.
//   - A panic in a task is a failed task. A task that doesn't let go of a
//     cancelled context holds its place, and nothing else.
//   - A place is taken by [Executor.Submit] and free again when the end is
//     stored, so neither memory nor the number of lost executions after a crash
//     grows beyond [Options.Places].
//
// Reasons for which an execution is ended from outside are causes of its
// context: a caller's cancel (CANCELLED), a stale fence (nothing is written,
// somebody else has), a lost lease (likewise), a drain that took too long
// (WORKER_LOST, or the next attempt of the job's retry policy).
package executor
