package entstore

import (
	"encoding/json"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

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
	var policies, options, workflow string
	places := []any{
		&q.row, &q.ExecutionID, &q.JobID, &q.InstanceID, &q.Trigger, &q.TriggerID, &scheduled, &notBefore, &created,
		&first, &q.Attempt, &q.waits, &q.jobFence, &q.JobVersion, &q.Schedule.Type, &q.Schedule.Cron, &q.Schedule.IntervalMinutes,
		&q.Schedule.TimeZone, &anchor, &policies, &options, &workflow,
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
	q.Schedule.ScheduleOptions, damaged = optionsOf(options)
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
