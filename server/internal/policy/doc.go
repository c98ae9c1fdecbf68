// Package policy decides, without I/O, what becomes of a job that is due: which
// slots start, wait, or are skipped and why, and what follows a failed attempt.
//
// Rules:
//   - Every slot between the one that was due and now is told by exactly one
//     start or one skip of the decision, and the next slot is after them all.
//   - A slot that is less than [Grace] late is on time: no catch-up policy
//     keeps it from running.
//   - Of missed slots, catch-up LATEST starts the newest inside the window, ALL
//     starts up to job.MaxCatchUp of them one after the other, NONE starts
//     none. The others are skips with the reason MISSED.
//   - A paused instance is a reason like others: what comes due is told as
//     PAUSED when it does. A job's own pause is told at its end.
//   - The overlap policy then looks at what is to start. An execution blocks
//     while it has not ended, also while it waits for its next attempt.
//   - Retries follow Cloud Scheduler: the delay doubles max-doublings times,
//     then grows by its last step, and no attempt starts at or after the next
//     slot.
package policy
