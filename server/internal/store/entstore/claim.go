package entstore

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

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
	// parted tells that the newest that the batch tells of it is a start, or an
	// occurrence that was moved.
	parted bool
}

// closedSkip is skipID after the claim: what parts rows closes the ledger row,
// unless the row is newer.
func (d *dueRow) closedSkip() int64 {
	if d.parted {
		return 0
	}
	return d.skipID
}

// dueColumns are what dueReader reads.
const dueColumns = `s.id, s.instance_id, s.version, s.next_run, s.type, s.cron, s.minutes, s.time_zone, s.anchor, s.policies,
       s.fence, s.skip_id, s.active, s.paused_at, s.paused_until, s.extras, s.started, s.trees`

// dueReader reads rows of dueColumns, each into the same places, since a batch
// has a thousand of them.
type dueReader struct {
	dueRow
	next, anchor, pausedAt, pausedUntil int64
	policies, options, folders          string
	places                              []any
	// room holds the next rows: one by one they would be an object each.
	room []dueRow
}

// aheadOnlyFree keeps a job from being claimed ahead of its time while it has an
// execution that has not ended, or is paused, by itself or with its instance:
// whether an occurrence overlaps is known only when it is due, and a pause ends
// at its time. Such jobs must not fill a batch. It counts since PostgreSQL would
// answer a NOT EXISTS from a hash of the whole table. The $ is the time now.
const aheadOnlyFree = `(s.next_run <= $ OR s.active AND
    (SELECT count(*) FROM active_executions x WHERE x.job_id = s.id AND x."trigger" <> 'BACKFILL') = 0 AND
    (SELECT count(*) FROM instances i WHERE i.id = s.instance_id AND i.paused_at > 0 AND (i.paused_until = 0 OR i.paused_until > $)) = 0)`

// newDueReader reads what stands before and behind dueColumns into places
// beside, or, for the ctid, in front.
func newDueReader(ctid bool, behind ...any) *dueReader {
	r := new(dueReader)
	if ctid {
		r.places = append(r.places, &r.row)
	}
	r.places = append(r.places,
		&r.JobID, &r.InstanceID, &r.Version, &r.next, &r.Schedule.Type, &r.Schedule.Cron, &r.Schedule.IntervalMinutes,
		&r.Schedule.TimeZone, &r.anchor, &r.policies, &r.fence, &r.skipID, &r.Active, &r.pausedAt, &r.pausedUntil, &r.options, &r.Started, &r.folders)
	r.places = append(r.places, behind...)
	return r
}

func (r *dueReader) read(scan func(...any) error) (*dueRow, error) {
	if err := scan(r.places...); err != nil {
		return nil, err
	}
	if len(r.room) == 0 {
		r.room = make([]dueRow, 32)
	}
	d := &r.room[0]
	r.room, *d = r.room[1:], r.dueRow
	d.NextRun, d.Schedule.Anchor = timeOf(r.next), timeOf(r.anchor)
	d.PausedAt, d.PausedUntil = timeOf(r.pausedAt), timeOf(r.pausedUntil)
	var damaged, worse error
	if r.options != "" {
		d.Schedule.ScheduleOptions, damaged = decode[job.ScheduleOptions](r.options)
	}
	d.Policies, worse = policiesOf(r.policies)
	// One row that can't be read stops its own job, not all the others.
	d.Damaged = damaged != nil || worse != nil
	if r.folders != "" {
		d.Folders, worse = foldersOf(r.folders)
		d.Damaged = d.Damaged || worse != nil
	}
	return d, nil
}

// holds are the last pauses of instances, by instance.
type holds map[int64]*job.Pause

// give tells the due rows of their instances' pauses. Rows whose instance is
// missing are left alone: it is being paused or resumed at this moment.
func (h holds) give(rows []*dueRow) []*dueRow {
	return slices.DeleteFunc(rows, func(d *dueRow) (gone bool) {
		hold, known := h[d.InstanceID]
		d.Hold = hold
		return !known
	})
}

// instancesOf are the instances of rows, each once.
func instancesOf(rows []*dueRow) []int64 {
	ids := make([]int64, len(rows))
	for i, d := range rows {
		ids[i] = d.InstanceID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// meetsMove tells whether a caller moved another occurrence to just when this one
// is due. Both are decided together, at that time: decided alone and ahead, this
// one would be due again with the other.
func (d *dueRow) meetsMove() bool {
	return slices.ContainsFunc(d.Changes, func(c job.OccurrenceChange) bool { return c.MoveTo.Equal(d.NextRun) })
}

// startRow is an execution to insert.
type startRow struct {
	due   *dueRow
	start store.Start
	// owner, attempt and fence are 0 for one that waits.
	owner   int64
	attempt int64
	fence   int64
	// id and mark are what the database gave to it.
	id   int64
	mark store.Mark
}

// skipRow is a ledger entry to add.
type skipRow struct {
	due  *dueRow
	skip job.Skip
	// apart says that another row tells an instant between it and the row before.
	apart bool
}

// claimBatch is what the decisions about a batch of due rows come to.
type claimBatch struct {
	moved  []*dueRow
	starts []startRow
	skips  []*skipRow
	// cancel are the jobs whose running executions are to end.
	cancel []int64
	rare   []write
	// holders are the executions that work on folders or wait to.
	holders []store.Holder
	// again says that some rows are decided in the next claim.
	again bool
}

func newClaimBatch(req store.ClaimRequest, rows []*dueRow, holders []store.Holder, rooms rooms, decide func(store.Due) store.Decision) *claimBatch {
	b := &claimBatch{moved: make([]*dueRow, 0, len(rows)), starts: make([]startRow, 0, len(rows)), holders: holders}
	for _, d := range rows {
		// Asked again under the lock.
		ahead := d.NextRun.After(req.Now)
		if ahead && (d.Blocking != 0 || !d.Active || !d.Hold.Over(req.Now) || d.meetsMove()) {
			continue
		}
		if len(d.Folders) > 0 && b.tooSoon(d, ahead) {
			continue
		}
		b.add(req, d, rooms.decide(d, req.Now, decide))
	}
	return b
}

// more tells whether another claim may find more. One that left all its rows
// for later would only find them again.
func (b *claimBatch) more(full bool) bool {
	return b.again || full && len(b.moved) > 0
}

func (b *claimBatch) add(req store.ClaimRequest, d *dueRow, decision store.Decision) {
	d.next = micros(decision.Next)
	b.moved = append(b.moved, d)
	told := time.Time{} // up to where the rows tell
	for _, k := range decision.Skips {
		b.skips = append(b.skips, &skipRow{due: d, skip: k, apart: k.Apart || startIn(decision.Starts, told, k.First)})
		if !k.Alone && k.Last.After(told) {
			told = k.Last
		}
	}
	d.parted = startIn(decision.Starts, told, timeOf(math.MaxInt64)) || movedSince(consumed(d.Changes, decision.Consumed), told)
	for _, start := range decision.Starts {
		row := startRow{due: d, start: start}
		// By jitter it may be long until the start: no place is held for that.
		if !start.Waits && req.Owner != 0 && !start.NotBefore.After(req.Ahead) {
			d.fence++
			row.owner, row.attempt, row.fence = req.Owner, 1, d.fence
		}
		b.starts = append(b.starts, row)
		if len(d.Folders) > 0 {
			b.holders = append(b.holders, store.Holder{JobID: d.JobID, InstanceID: d.InstanceID, Running: row.owner != 0, Folders: d.Folders})
		}
	}
	if decision.CancelRunning {
		b.cancel = append(b.cancel, d.JobID)
	}
	b.rare = append(b.rare, rareWrites(req, d, decision)...)
}

// consumed are the changes of slots.
func consumed(changes []job.OccurrenceChange, slots []time.Time) []job.OccurrenceChange {
	if len(slots) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c job.OccurrenceChange) bool {
		return !slices.ContainsFunc(slots, c.Slot.Equal)
	})
}

// startIn tells whether any start has its slot between two times.
func startIn(starts []store.Start, after, before time.Time) bool {
	return slices.ContainsFunc(starts, func(s store.Start) bool {
		return s.ScheduledFor.After(after) && s.ScheduledFor.Before(before)
	})
}

// rareWrites are the statements that few decisions need, in order.
func rareWrites(req store.ClaimRequest, d *dueRow, decision store.Decision) (writes []write) {
	if decision.Resume {
		writes = append(writes,
			write{stoodStill, []any{d.JobID, micros(d.PausedAt), micros(req.Now)}},
			write{`UPDATE schedules SET active = true, paused_at = 0, paused_until = 0, failures = 0, version = version + 1 WHERE id = $1`, []any{d.JobID}},
			write{`UPDATE jobs SET pause_reason = '', pause_actor = '', pause_reauth = false, version = version + 1, updated_at = $2 WHERE id = $1`, []any{d.JobID, micros(req.Now)}})
	}
	if !decision.Anchor.IsZero() {
		writes = append(writes, write{`UPDATE schedules SET anchor = $2 WHERE id = $1`, []any{d.JobID, micros(decision.Anchor)}})
	}
	if !decision.Since.IsZero() {
		options := d.Schedule.ScheduleOptions
		options.Since = decision.Since
		writes = append(writes, write{`UPDATE schedules SET extras = $2 WHERE id = $1`, []any{d.JobID, optionsText(options)}})
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

// inserted finds the start whose row the database answered as the nth: they are
// answered in their order, but nobody promises that.
func (b *claimBatch) inserted(n int, jobID, scheduled int64) *startRow {
	is := func(r startRow) bool { return r.due.JobID == jobID && micros(r.start.ScheduledFor) == scheduled }
	if !is(b.starts[n]) {
		n = slices.IndexFunc(b.starts, is)
	}
	return &b.starts[n]
}

// claimed lists the executions that got an owner, once they are inserted.
func (b *claimBatch) claimed(now time.Time) []store.Claimed {
	created := timeOf(micros(now))
	claimed := make([]store.Claimed, 0, len(b.starts))
	for i := range b.starts {
		r := &b.starts[i]
		if r.owner == 0 {
			continue
		}
		claimed = append(claimed, store.Claimed{
			ExecutionID:  r.id,
			Mark:         r.mark,
			JobID:        r.due.JobID,
			InstanceID:   r.due.InstanceID,
			Trigger:      job.TriggerSchedule,
			ScheduledFor: r.start.ScheduledFor,
			NotBefore:    r.start.NotBefore,
			CreatedAt:    created,
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
