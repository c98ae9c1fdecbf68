// Package ticker decides what is due and claims it. It starts nothing itself:
// what it claims goes to an executor.
//
// # Who may run an occurrence
//
// A job's schedule row holds its next slot. A claim is one transaction that
// locks due rows, passing over those that others have locked, moves each row to
// its following slot, and makes an active execution with this replica as owner
// and the job's next fence. Because the row is locked from before the decision
// to after the commit, two replicas never decide about the same slot; because
// (job, slot, trigger) is unique among the active executions and again in the
// history, a slot that were decided twice by a fault of ours would fail to
// commit instead of running twice. All replicas claim; there is no leader to
// lose.
//
// # Who is the authority on time
//
// The database. A replica knows its time by package lease, as of the last
// heartbeat carried on by the local monotonic clock. A replica with a wrong
// wall clock therefore claims at the right moments.
//
// When the database's own clock makes a step, the replicas go by it from their next
// heartbeat on; until then one may still start what was due by the clock as it was.
// No lease ends by a step, nor lasts longer. After a step forward the slots passed
// over are told as after an absence, the newest by its catch-up policy. After a step
// back the slots that have been told are not due again: a schedule rests until the
// clock comes to its next slot, and so does what has been claimed ahead.
//
// # Ahead of time
//
// Slots are claimed up to Options.Ahead before they are due and started by a
// timer, so that no commit lies between a slot and its start. A job that is
// paused, edited or deleted in that window loses the claimed execution in the
// same transaction as the change; the executor looks at its claims once more
// just before the start, and does not start what is gone. A job with an
// execution that has not ended is not claimed ahead: whether a slot overlaps is
// known only when it is due. Nor is one that a caller moved, or one that another
// was moved to the very time of, or one whose instance is paused.
//
// A change and a start that come together are parted by the claim's row. The
// change locks it, then asks the clock, and waits for a start that is less than
// store.StartGuard away. A look that finds the row locked waits for the change. A
// look that found it free was there before the change asked its clock, and is
// younger than the guard when the start comes; so what it lets start, the change
// lets pass. Where the database is too slow for such a young look, the start is
// written before it happens, and the change finds it so.
//
// # When it looks
//
// A look asks one question that costs the same however much is stored, and claims
// only what that finds. While an execution is active, which may be tried again or
// let others start, looks come every Options.Every. With none, whatever comes is
// foretold by the first due time or is a caller's change, of which a signal tells;
// then the ticker sleeps until the first job comes into reach. It never sleeps
// longer than Options.Idle, since signals may be lost, nor longer than
// Options.Every while the connection that carries them is. A job that can't be
// claimed ahead of its time is claimed at it.
//
// # What a killed replica leaves
//
// Rows that it owns. Others bury it when its lease has ended (at most
// lease.Options.Lease after its last renewal), or at once when the database no
// longer knows any connection of its process. Executions whose time had not
// come wait again. The others may have started and done anything up to their
// end; they end WORKER_LOST, or wait for the next attempt of the job's retry
// policy. On SQLite the next start of the process does the same.
//
// # What a slow or paused replica may still do
//
// A replica that can't renew counts itself out before its lease ends and
// cancels its tasks. One that was stopped as a whole (SIGSTOP, a paused virtual
// machine) cannot; when it goes on, its tasks run until its next heartbeat
// finds the lease gone. In that time they may still reach the outside: that is
// why http.request sends the fence, which is lower than that of any later
// attempt of the job. They cannot write to the ledger: every write of an
// execution names its fence, adoption changed it, and a write with a stale
// fence touches no row.
//
// # What may happen twice
//
// Effects of tasks, under a retry policy or a run by hand after WORKER_LOST:
// at least once. Records: never.
package ticker
