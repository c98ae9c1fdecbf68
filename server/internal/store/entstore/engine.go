package entstore

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/activeexecution"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// ClaimDue implements store.Engine.
func (s *Store) ClaimDue(ctx context.Context, req store.ClaimRequest, decide func(store.Due) store.Decision) ([]store.Claimed, bool, error) {
	if s.postgres() {
		return s.pgClaimDue(ctx, req, decide)
	}
	return s.liteClaimDue(ctx, req, decide)
}

// ClaimQueued implements store.Engine.
func (s *Store) ClaimQueued(ctx context.Context, req store.ClaimRequest) ([]store.Claimed, bool, error) {
	if s.postgres() {
		return s.pgClaimQueued(ctx, req)
	}
	return s.liteClaimQueued(ctx, req)
}

// StillClaimed implements store.Engine.
func (s *Store) StillClaimed(ctx context.Context, claimed []store.Claimed) (map[int64]job.State, error) {
	if s.postgres() {
		return s.pgStillClaimed(ctx, claimed)
	}
	return s.liteStillClaimed(ctx, claimed)
}

// Release implements store.Engine.
func (s *Store) Release(ctx context.Context, claimed []store.Claimed) error {
	claimed = slices.Clone(claimed)
	slices.SortFunc(claimed, func(a, b store.Claimed) int { return cmp.Compare(a.ExecutionID, b.ExecutionID) })
	if s.postgres() {
		return s.pgRelease(ctx, claimed)
	}
	return s.liteRelease(ctx, claimed)
}

// Owned implements store.Engine.
func (s *Store) Owned(ctx context.Context, owner int64) (owned []store.Owned, err error) {
	err = s.query(ctx, "list claims", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.ActiveExecution.Query().Where(activeexecution.Owner(owner)).
			Select(activeexecution.FieldID, activeexecution.FieldFence, activeexecution.FieldState).All(ctx)
		owned = make([]store.Owned, len(rows))
		for i, row := range rows {
			owned[i] = store.Owned{ExecutionID: row.ID, Fence: row.Fence, State: job.State(row.State)}
		}
		return err
	})
	return owned, err
}

// Reclaim implements store.Engine.
func (s *Store) Reclaim(ctx context.Context, self int64, executions []int64) (lost []store.Lost, err error) {
	err = s.tx(ctx, "take back claims", func(ctx context.Context, tx *ent.Tx) error {
		now, _, err := s.clock(ctx, tx)
		if err != nil {
			return err
		}
		which := "owner = " + idList([]int64{self}) + " AND id IN (" + idList(executions) + ")"
		if lost, err = s.adopt(ctx, tx, self, which, now); err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
	})
	return lost, err
}

// Finish implements store.Engine.
func (s *Store) Finish(ctx context.Context, ends []store.Finish) (stale []int64, err error) {
	finish := s.liteFinish
	if s.postgres() {
		finish = s.pgFinish
	}
	stale, err = finish(ctx, ends)
	if !isDuplicate(err) {
		return stale, err
	}
	// A slot ran twice: clocks or a fault of ours. One bad row must not keep
	// the others from their history, and this one is kept under another name.
	s.log.ErrorContext(ctx, "an occurrence has run twice; its second execution keeps a trigger id of its own", "error", err)
	for _, end := range ends {
		again, err := finish(ctx, []store.Finish{end})
		if isDuplicate(err) {
			if _, err = s.db.ExecContext(ctx, `UPDATE active_executions SET trigger_id = 'again_' || id WHERE id = $1 AND fence = $2`, end.ExecutionID, end.Fence); err == nil {
				again, err = finish(ctx, []store.Finish{end})
			}
		}
		if err != nil {
			return nil, convert("finish an execution", err)
		}
		stale = append(stale, again...)
	}
	return stale, nil
}

// Progress implements store.Engine.
func (s *Store) Progress(ctx context.Context, reports []store.Progress) (stale, cancelled []int64, err error) {
	write := s.liteProgress
	if s.postgres() {
		write = s.pgProgress
	}
	// Rows are locked in the order of their ids, as by Finish.
	reports = slices.Clone(reports)
	slices.SortFunc(reports, func(a, b store.Progress) int { return cmp.Compare(a.ExecutionID, b.ExecutionID) })
	states, err := write(ctx, reports)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range reports {
		switch state, known := states[r.ExecutionID]; {
		case !known:
			stale = append(stale, r.ExecutionID)
		case state == job.StateCancelling:
			cancelled = append(cancelled, r.ExecutionID)
		}
	}
	return stale, cancelled, nil
}

// dueRow is a schedule row under lock.
type dueRow struct {
	store.Due
	// row is the ctid on PostgreSQL.
	row      pgtype.TID
	workflow json.RawMessage
	fence    int64
	// skipID is the ledger row that a further skip may fold into.
	skipID int64
	next   int64
	// starts tells that it has a start in the batch.
	starts bool
}

// closedSkip is skipID after the claim: a start closes the ledger row.
func (d *dueRow) closedSkip() int64 {
	if d.starts {
		return 0
	}
	return d.skipID
}

// dueColumns are what dueReader reads.
const dueColumns = `s.id, s.instance_id, s.version, s.next_run, s.type, s.cron, s.minutes, s.time_zone, s.anchor, s.policies,
       s.fence, s.skip_id, s.active, s.paused_at, s.paused_until, s.held_at, s.extras, s.started`

// dueReader reads rows of dueColumns, each into the same places, since a batch
// has a thousand of them.
type dueReader struct {
	dueRow
	next, anchor, pausedAt, pausedUntil, heldAt int64
	policies, extras                            string
	places                                      []any
}

// aheadOnlyFree keeps a job from being claimed ahead of its time while it has an
// execution that has not ended, or is paused: whether an occurrence overlaps is
// known only when it is due, and a pause ends at its time. Such jobs must not
// fill a batch. It is a count since PostgreSQL would answer a NOT EXISTS from a
// hash of the whole table. The $ is the time now.
const aheadOnlyFree = `(s.next_run <= $ OR s.active AND s.held_at = 0 AND
    (SELECT count(*) FROM active_executions x WHERE x.job_id = s.id AND x."trigger" <> 'BACKFILL') = 0)`

// newDueReader reads what stands before and behind dueColumns into places
// beside, or, for the ctid, in front.
func newDueReader(ctid bool, behind ...any) *dueReader {
	r := new(dueReader)
	if ctid {
		r.places = append(r.places, &r.row)
	}
	r.places = append(r.places,
		&r.JobID, &r.InstanceID, &r.Version, &r.next, &r.Schedule.Type, &r.Schedule.Cron, &r.Schedule.IntervalMinutes,
		&r.Schedule.TimeZone, &r.anchor, &r.policies, &r.fence, &r.skipID, &r.Active, &r.pausedAt, &r.pausedUntil, &r.heldAt, &r.extras, &r.Started)
	r.places = append(r.places, behind...)
	return r
}

func (r *dueReader) read(scan func(...any) error) (*dueRow, error) {
	if err := scan(r.places...); err != nil {
		return nil, err
	}
	d := r.dueRow
	d.NextRun, d.Schedule.Anchor = timeOf(r.next), timeOf(r.anchor)
	d.PausedAt, d.PausedUntil, d.HeldAt = timeOf(r.pausedAt), timeOf(r.pausedUntil), timeOf(r.heldAt)
	var damaged, worse error
	if r.extras != "" {
		d.Schedule.ScheduleOptions, damaged = decode[job.ScheduleOptions](r.extras)
	}
	d.Policies, worse = policiesOf(r.policies)
	// One row that can't be read stops its own job, not all the others.
	d.Damaged = damaged != nil || worse != nil
	return &d, nil
}

// startRow is an execution to insert.
type startRow struct {
	due   *dueRow
	start store.Start
	// owner, attempt and fence are 0 for one that waits.
	owner   int64
	attempt int64
	fence   int64
}

// skipRow is a ledger entry to add.
type skipRow struct {
	due  *dueRow
	skip job.Skip
}

// startKey finds an inserted execution again.
type startKey struct{ job, scheduled int64 }

// inserted is what the database gave to an execution.
type inserted struct {
	id   int64
	mark store.Mark
}

// claimBatch is what the decisions about a batch of due rows come to.
type claimBatch struct {
	moved  []*dueRow
	starts []startRow
	skips  []*skipRow
	// cancel are the jobs whose running executions are to end.
	cancel []int64
	rare   []write
}

func newClaimBatch(req store.ClaimRequest, rows []*dueRow, decide func(store.Due) store.Decision) *claimBatch {
	b := &claimBatch{moved: make([]*dueRow, 0, len(rows)), starts: make([]startRow, 0, len(rows))}
	for _, d := range rows {
		// Asked again under the lock.
		if d.NextRun.After(req.Now) && (d.Blocking != 0 || !d.Active || !d.HeldAt.IsZero()) {
			continue
		}
		b.add(req, d, decide(d.Due))
	}
	return b
}

func (b *claimBatch) add(req store.ClaimRequest, d *dueRow, decision store.Decision) {
	d.next = micros(decision.Next)
	b.moved = append(b.moved, d)
	for _, k := range decision.Skips {
		b.skips = append(b.skips, &skipRow{due: d, skip: k})
	}
	for _, start := range decision.Starts {
		row := startRow{due: d, start: start}
		if !start.Waits && req.Owner != 0 {
			d.fence++
			row.owner, row.attempt, row.fence = req.Owner, 1, d.fence
		}
		b.starts = append(b.starts, row)
		d.starts = true
	}
	if decision.CancelRunning {
		b.cancel = append(b.cancel, d.JobID)
	}
	b.rare = append(b.rare, rareWrites(req, d, decision)...)
}

// rareWrites are the statements that few decisions need, in order.
func rareWrites(req store.ClaimRequest, d *dueRow, decision store.Decision) (writes []write) {
	if decision.Resume {
		writes = append(writes,
			write{`UPDATE schedules SET active = true, paused_at = 0, paused_until = 0, failures = 0, version = version + 1 WHERE id = $1`, []any{d.JobID}},
			write{`UPDATE jobs SET pause_reason = '', pause_actor = '', version = version + 1, updated_at = $2 WHERE id = $1`, []any{d.JobID, micros(req.Now)}})
	}
	if !decision.Anchor.IsZero() {
		writes = append(writes, write{`UPDATE schedules SET anchor = $2 WHERE id = $1`, []any{d.JobID, micros(decision.Anchor)}})
	}
	if !decision.Since.IsZero() {
		options := d.Schedule.ScheduleOptions
		options.Since = decision.Since
		writes = append(writes, write{`UPDATE schedules SET extras = $2 WHERE id = $1`, []any{d.JobID, optionsText(options)}})
	}
	if decision.Unhold {
		writes = append(writes, write{`UPDATE schedules SET held_at = 0 WHERE id = $1`, []any{d.JobID}})
	}
	if n := len(decision.Starts); n > 0 && d.Policies.MaxExecutions > 0 {
		writes = append(writes, write{`UPDATE schedules SET started = started + $2 WHERE id = $1`, []any{d.JobID, int64(n)}})
	}
	for _, slot := range decision.Consumed {
		writes = append(writes, write{`DELETE FROM occurrence_changes WHERE job_id = $1 AND slot = $2`, []any{d.JobID, micros(slot)}})
	}
	for _, slot := range decision.Done {
		writes = append(writes, write{`UPDATE occurrence_changes SET move_to = $3 WHERE job_id = $1 AND slot = $2`, []any{d.JobID, micros(slot), moveDone}})
	}
	return writes
}

// moveDone stands in move_to for an occurrence that was moved earlier and has
// started.
const moveDone = int64(-1)

// changeOf is a caller's wish as it is stored.
func changeOf(jobID, slot, moveTo int64) job.OccurrenceChange {
	c := job.OccurrenceChange{JobID: jobID, Slot: timeOf(slot), Done: moveTo == moveDone}
	if !c.Done {
		c.MoveTo = timeOf(moveTo)
	}
	return c
}

// write is a statement in SQL that both databases understand.
type write struct {
	sql  string
	args []any
}

type moveColumns struct {
	rows              []pgtype.TID
	next, fence, skip []int64
}

func (b *claimBatch) moves() moveColumns {
	m := moveColumns{make([]pgtype.TID, len(b.moved)), make([]int64, len(b.moved)), make([]int64, len(b.moved)), make([]int64, len(b.moved))}
	for i, d := range b.moved {
		m.rows[i], m.next[i], m.fence[i], m.skip[i] = d.row, d.next, d.fence, d.closedSkip()
	}
	return m
}

// insertColumns are those of the executions; fence is 0 for one without an
// owner.
type insertColumns struct {
	job, instance, scheduled, notBefore, fence []int64
	waits                                      []bool
}

func (b *claimBatch) inserts() insertColumns {
	n := len(b.starts)
	c := insertColumns{make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]bool, n)}
	for i, r := range b.starts {
		c.job[i], c.instance[i], c.fence[i], c.waits[i] = r.due.JobID, r.due.InstanceID, r.fence, r.start.Waits
		c.scheduled[i], c.notBefore[i] = micros(r.start.ScheduledFor), micros(r.start.NotBefore)
	}
	return c
}

// claimed lists the executions that got an owner, given their rows.
func (b *claimBatch) claimed(rows map[startKey]inserted, created int64) []store.Claimed {
	claimed := make([]store.Claimed, 0, len(b.starts))
	for _, r := range b.starts {
		if r.owner == 0 {
			continue
		}
		row := rows[startKey{r.due.JobID, micros(r.start.ScheduledFor)}]
		claimed = append(claimed, store.Claimed{
			ExecutionID:  row.id,
			Mark:         row.mark,
			JobID:        r.due.JobID,
			InstanceID:   r.due.InstanceID,
			Trigger:      job.TriggerSchedule,
			ScheduledFor: r.start.ScheduledFor,
			NotBefore:    r.start.NotBefore,
			CreatedAt:    timeOf(created),
			Attempt:      int(r.attempt),
			Fence:        r.fence,
			JobVersion:   r.due.Version,
			Workflow:     r.due.workflow,
			Schedule:     r.due.Schedule,
			Policies:     r.due.Policies,
		})
	}
	return claimed
}

// skipRounds splits skips into rounds with at most one of each job, in order.
func skipRounds(skips []*skipRow) [][]*skipRow {
	var rounds [][]*skipRow
	seen := make(map[int64]int)
	for _, k := range skips {
		n := seen[k.due.JobID]
		seen[k.due.JobID]++
		if n == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[n] = append(rounds[n], k)
	}
	return rounds
}

type skipArrays struct {
	open, job, instance, blockedBy, first, last, count []int64
	reason                                             []string
}

func skipColumns(skips []*skipRow) skipArrays {
	var c skipArrays
	for _, k := range skips {
		c.open = append(c.open, k.due.skipID)
		c.job = append(c.job, k.skip.JobID)
		c.instance = append(c.instance, k.skip.InstanceID)
		c.blockedBy = append(c.blockedBy, k.skip.BlockedBy)
		c.first = append(c.first, micros(k.skip.First))
		c.last = append(c.last, micros(k.skip.Last))
		c.count = append(c.count, k.skip.Count)
		c.reason = append(c.reason, k.skip.Reason)
	}
	return c
}

// queuedRow is an execution without an owner, under lock.
type queuedRow struct {
	store.Claimed
	// row is the ctid on PostgreSQL.
	row   pgtype.TID
	waits bool
	// jobFence is the last fence given to the job.
	jobFence int64
}

// scanQueued reads a row, whose ctid, if there is one, comes first.
func scanQueued(scan func(...any) error, ctid bool) (queuedRow, error) {
	var q queuedRow
	var scheduled, notBefore, created, first, anchor int64
	var policies, extras, workflow string
	places := []any{
		&q.row, &q.ExecutionID, &q.JobID, &q.InstanceID, &q.Trigger, &q.TriggerID, &scheduled, &notBefore, &created,
		&first, &q.Attempt, &q.waits, &q.jobFence, &q.JobVersion, &q.Schedule.Type, &q.Schedule.Cron, &q.Schedule.IntervalMinutes,
		&q.Schedule.TimeZone, &anchor, &policies, &extras, &workflow,
	}
	if !ctid {
		places = places[1:]
	}
	if err := scan(places...); err != nil {
		return q, err
	}
	q.ScheduledFor, q.NotBefore, q.CreatedAt = timeOf(scheduled), timeOf(notBefore), timeOf(created)
	q.FirstStartedAt, q.Schedule.Anchor = timeOf(first), timeOf(anchor)
	q.Workflow = json.RawMessage(workflow)
	var damaged, worse error
	q.Schedule.ScheduleOptions, damaged = optionsOf(extras)
	q.Policies, worse = policiesOf(policies)
	if damaged != nil || worse != nil {
		q.Workflow = nil // it ends FAILED instead of keeping the others waiting
	}
	return q, nil
}

// activeGroup says that a job has an execution with an owner: of a backfill,
// or any other.
type activeGroup struct {
	job      int64
	backfill string
}

// waitsFor tells whether a waiting execution may not start beside the group.
// Backfills go beside everything else unless they wait for it, and never wait
// for themselves.
func (q queuedRow) waitsFor(g activeGroup) bool {
	switch {
	case g.job != q.JobID:
		return false
	case g.backfill == "":
		return true
	default:
		return q.Trigger == job.TriggerBackfill && g.backfill != q.TriggerID
	}
}

// cancelledByNext is why an execution ends under the policy CANCEL_OTHER.
var cancelledByNext = &job.Failure{
	Code: "CANCELLED", Reason: job.ReasonCancelled, Message: "A later occurrence took its place (overlap policy CANCEL_OTHER).",
}

// takeQueued gives each row its attempt and fence; several of one job (ALLOW)
// get fences in order.
func takeQueued(rows []queuedRow) []store.Claimed {
	claimed := make([]store.Claimed, len(rows))
	last := make(map[int64]int64, len(rows))
	for i, q := range rows {
		fence := max(last[q.JobID], q.jobFence) + 1
		last[q.JobID] = fence
		q.Attempt++
		q.Fence = fence
		claimed[i] = q.Claimed
	}
	return claimed
}

func byID(a, b store.Finish) int { return cmp.Compare(a.ExecutionID, b.ExecutionID) }

// splitFinish parts the attempts that end the execution from those that are
// followed by another one. Both are in the order of their ids, so that rows
// are locked in one order.
func splitFinish(ends []store.Finish) (final, retries []store.Finish) {
	final = make([]store.Finish, 0, len(ends))
	for _, end := range ends {
		if end.RetryAt.IsZero() {
			final = append(final, end)
		} else {
			retries = append(retries, end)
		}
	}
	for _, part := range [][]store.Finish{final, retries} {
		if !slices.IsSortedFunc(part, byID) {
			slices.SortFunc(part, byID)
		}
	}
	return final, retries
}

// notKept turns the retries that were not put back into final ends: somebody
// asked to cancel them meanwhile, or their fence is stale.
func notKept(retries []store.Finish, kept map[int64]bool) (final []store.Finish) {
	for _, end := range retries {
		if !kept[end.ExecutionID] {
			end.State = job.StateCancelled
			final = append(final, end)
		}
	}
	return final
}

type finishArrays struct {
	row                                             []pgtype.TID
	id, fence, started, finished, retryAt, logBytes []int64
	state, failure, tasks                           []string
}

func finishColumns(ends []store.Finish) finishArrays {
	n := len(ends)
	c := finishArrays{
		make([]pgtype.TID, n),
		make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n),
		make([]string, n), make([]string, n), make([]string, n),
	}
	for i := range ends {
		end := &ends[i]
		c.row[i] = tidOf(end.Mark)
		c.id[i], c.fence[i], c.logBytes[i] = end.ExecutionID, end.Fence, end.LogBytes
		c.started[i], c.finished[i], c.retryAt[i] = micros(end.StartedAt), micros(end.FinishedAt), micros(end.RetryAt)
		c.state[i], c.failure[i], c.tasks[i] = string(end.State), failureText(end.Error), tasksText(end.Tasks)
	}
	return c
}

type progressArrays struct {
	id, fence, started, logBytes []int64
	tasks                        []string
}

func progressColumns(reports []store.Progress) progressArrays {
	var c progressArrays
	for _, r := range reports {
		c.id = append(c.id, r.ExecutionID)
		c.fence = append(c.fence, r.Fence)
		c.started = append(c.started, micros(r.StartedAt))
		c.logBytes = append(c.logBytes, r.LogBytes)
		c.tasks = append(c.tasks, tasksText(r.Tasks))
	}
	return c
}
