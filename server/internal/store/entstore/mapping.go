package entstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// micros is a time as it is stored: microseconds since 1970, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// timeOf is the time that micros stored.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// failureText is JSON, empty for none.
func failureText(f *job.Failure) string {
	if f == nil {
		return ""
	}
	return encode(f)
}

func failureOf(text string) (*job.Failure, error) {
	if text == "" {
		return nil, nil
	}
	return decode[*job.Failure](text)
}

// tasksText is JSON, empty for none.
func tasksText(tasks []job.TaskRecord) string {
	if len(tasks) == 0 {
		return ""
	}
	return string(appendTasks(make([]byte, 0, tasksSize*len(tasks)), tasks))
}

func tasksOf(text string) ([]job.TaskRecord, error) {
	if text == "" {
		return nil, nil
	}
	return decode[[]job.TaskRecord](text)
}

// foldersText is JSON, empty for none.
func foldersText(folders []job.Folder) string {
	if len(folders) == 0 {
		return ""
	}
	return encode(folders)
}

func foldersOf(text string) ([]job.Folder, error) {
	if text == "" {
		return nil, nil
	}
	return decode[[]job.Folder](text)
}

// policiesText is JSON of what differs from the defaults, empty when nothing
// does.
func policiesText(p job.Policies) string {
	defaults := job.Policies{}.WithDefaults()
	if p.Overlap == defaults.Overlap {
		p.Overlap = ""
	}
	if p.CatchUp == defaults.CatchUp {
		p.CatchUp = ""
	}
	if p.CatchUpWindow == defaults.CatchUpWindow {
		p.CatchUpWindow = 0
	}
	if p == (job.Policies{}) {
		return ""
	}
	return encode(p)
}

// policiesOf answers the policies with their defaults filled in.
func policiesOf(text string) (job.Policies, error) {
	if text == "" {
		return job.Policies{}.WithDefaults(), nil
	}
	p, err := decode[job.Policies](text)
	return p.WithDefaults(), err
}

// optionsText is JSON of what differs from the defaults, empty when nothing
// does.
func optionsText(o job.ScheduleOptions) string {
	if o.IsZero() {
		return ""
	}
	if o.DSTGap == job.GapShiftForward {
		o.DSTGap = ""
	}
	if o.DSTOverlap == job.OverlapFirst {
		o.DSTOverlap = ""
	}
	return encode(o)
}

func optionsOf(text string) (job.ScheduleOptions, error) {
	if text == "" {
		return job.ScheduleOptions{}, nil
	}
	return decode[job.ScheduleOptions](text)
}

func encode(value any) string {
	text, _ := json.Marshal(value) // it can't fail: strings, numbers and times of four-digit years
	return string(text)
}

func decode[T any](text string) (T, error) {
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return value, fmt.Errorf("decode %T: %w", value, err)
	}
	return value, nil
}

// mapAll maps rows; no rows are nil.
func mapAll[R, V any](rows []R, one func(R) V) []V {
	var all []V
	for _, row := range rows {
		all = append(all, one(row))
	}
	return all
}

func instanceOf(row *ent.Instance) job.Instance {
	// What can't be read counts as the defaults, rather than stop the tenant.
	quota, _ := quotaOf(row.Quota)
	return job.Instance{
		Quota: quota,
		ID:    row.ID, Title: row.Title, Description: row.Description, CreatedAt: timeOf(row.CreatedAt),
		Pause: pauseColumns{reason: row.PauseReason, actor: row.PauseActor, since: row.PausedAt, until: row.PausedUntil}.pause(row.ID),
	}
}

// pauseColumns are a pause as it is stored.
type pauseColumns struct {
	reason, actor string
	since, until  int64
	reauth        bool
}

// pause is nil when there is none; instanceID is 0 for a job's own.
func (c pauseColumns) pause(instanceID int64) *job.Pause {
	if c.since == 0 {
		return nil
	}
	return &job.Pause{Reason: c.reason, Actor: c.actor, Since: timeOf(c.since), Until: timeOf(c.until), InstanceID: instanceID, Reauth: c.reauth}
}

func changeOfRow(row *ent.OccurrenceChange) job.OccurrenceChange {
	return changeOf(row.JobID, row.Slot, row.MoveTo)
}

func backfillOf(row *ent.Backfill) job.Backfill {
	return job.Backfill{
		ID: row.ID, JobID: row.JobID, InstanceID: row.InstanceID, From: timeOf(row.RangeFrom), To: timeOf(row.RangeTo),
		Concurrency: row.Concurrency, Overlap: job.OverlapPolicy(row.Overlap), State: job.BackfillState(row.State),
		Total: row.Total, Started: row.Started, CreatedAt: timeOf(row.CreatedAt), FinishedAt: timeOf(row.FinishedAt),
	}
}

func resourceOf(row *ent.Resource) job.Resource {
	return job.Resource{ID: row.ID, InstanceID: row.InstanceID, Title: row.Title, Description: row.Description, CreatedAt: timeOf(row.CreatedAt)}
}

func clientOf(row *ent.ServiceClient) job.Client {
	return job.Client{
		ID:            row.ID,
		Title:         row.Title,
		Scopes:        row.Scopes,
		InstanceIDs:   mapAll(row.Edges.Links, func(link *ent.ClientInstance) int64 { return link.InstanceID }),
		SecretHash:    row.SecretHash,
		SecretVersion: row.SecretVersion,
		CreatedAt:     timeOf(row.CreatedAt),
	}
}

func signingKeyOf(row *ent.SigningKey) store.SigningKey {
	return store.SigningKey{
		ID:        row.ID,
		Purpose:   row.Purpose,
		Public:    row.Public,
		KeyID:     row.KeyID,
		Sealed:    row.Sealed,
		CreatedAt: timeOf(row.CreatedAt),
		ActiveAt:  timeOf(row.ActiveAt),
		RetiresAt: timeOf(row.RetiresAt),
	}
}

func remoteOf(row *ent.ResourceConfig) job.SealedRemote {
	return job.SealedRemote{
		ResourceID: row.ResourceID,
		Name:       row.Name,
		Type:       row.Type,
		Keys:       row.Keys,
		Version:    row.Version,
		KeyID:      row.KeyID,
		Ciphertext: row.Ciphertext,
		UpdatedAt:  timeOf(row.UpdatedAt),
		Account:    row.Account,
		Expiry:     job.Expiry{Credentials: timeOf(row.ExpiresAt), Token: timeOf(row.TokenExpiresAt)},
		Refusal:    refusalOf(row),
	}
}

func refusalOf(row *ent.ResourceConfig) *job.Refusal {
	if row.RefusedAt == 0 {
		return nil
	}
	return &job.Refusal{Reason: row.RefusedReason, Since: timeOf(row.RefusedAt)}
}

func skipOf(row *ent.Skip) job.Skip {
	return job.Skip{
		ID:         row.ID,
		JobID:      row.JobID,
		InstanceID: row.InstanceID,
		Reason:     row.Reason,
		First:      timeOf(row.First),
		Last:       timeOf(row.Last),
		Count:      row.Count,
		BlockedBy:  row.BlockedBy,
	}
}

// labelsOf reads JSON; none are nil.
func labelsOf(text []byte) (map[string]string, error) {
	if len(text) == 0 {
		return nil, nil
	}
	labels, err := decode[map[string]string](string(text))
	if len(labels) == 0 {
		return nil, err
	}
	return labels, err
}

// usesOf reads resource ids that are separated by spaces, in order.
func usesOf(text string) ([]int64, error) {
	var ids []int64
	for _, field := range strings.Fields(text) {
		id, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("decode resource ids: %w", err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// scheduleOf is when the job runs.
func scheduleOf(row *ent.Schedule) (job.Schedule, error) {
	options, err := optionsOf(row.Options)
	return job.Schedule{
		Type:            job.FrequencyType(row.Type),
		Cron:            row.Cron,
		IntervalMinutes: row.Minutes,
		TimeZone:        row.TimeZone,
		Anchor:          timeOf(row.Anchor),
		ScheduleOptions: options,
	}, err
}

// visibleState is what people see of an active row: one that is claimed but
// has not reported its start is still in the queue.
func visibleState(stored string, startedAt int64) job.State {
	if state := job.State(stored); state != job.StateRunning || startedAt > 0 {
		return state
	}
	return job.StateQueued
}

// executionOfActive is an execution that has not ended. The error is that of
// an earlier attempt, or why it is being cancelled.
func executionOfActive(row *ent.ActiveExecution) (job.Execution, error) {
	e := job.Execution{
		ID:           row.ID,
		JobID:        row.JobID,
		InstanceID:   row.InstanceID,
		Trigger:      job.Trigger(row.Trigger),
		TriggerID:    row.TriggerID,
		ScheduledFor: timeOf(row.ScheduledFor),
		CreatedAt:    timeOf(row.CreatedAt),
		StartedAt:    timeOf(row.StartedAt),
		State:        visibleState(row.State, row.StartedAt),
		Attempt:      row.Attempt,
		Fence:        row.Fence,
		LogBytes:     row.LogBytes,
	}
	if row.Owner == 0 {
		e.WaitingFor = row.WaitingFor
	}
	return fillExecution(e, row.Error, row.Tasks)
}

// The columns of an execution as scanExecution reads them; active executions are
// called a. One is ready at its time if it waits neither for others nor for a
// folder, as claims see it.
const (
	activeColumns = `id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, started_at, 0 AS finished_at,
  state, attempt, fence, error, tasks, log_bytes, CASE WHEN owner = 0 THEN waiting_for ELSE 0 END AS waiting_for,
  CASE WHEN owner = 0 AND waiting_for = 0 AND state = 'QUEUED' AND (NOT waits OR NOT EXISTS (
    SELECT 1 FROM active_executions o WHERE o.job_id = a.job_id AND o.id <> a.id
      AND (o."trigger" <> 'BACKFILL' OR (a."trigger" = 'BACKFILL' AND o.trigger_id <> a.trigger_id))
      AND (o.owner <> 0 OR o.attempt > 0 OR (o.waits AND o.id < a.id)))) THEN not_before ELSE 0 END AS ready_at`
	historyColumns = `id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, started_at, finished_at,
  state, attempt, fence, error, tasks, log_bytes`
	endedColumns = historyColumns + `, 0 AS waiting_for, 0 AS ready_at`
)

// scanExecution maps a row of either table.
func scanExecution(scan func(...any) error) (job.Execution, error) {
	var e job.Execution
	var scheduled, created, started, finished, ready int64
	var state, failure, tasks string
	err := scan(&e.ID, &e.JobID, &e.InstanceID, &e.Trigger, &e.TriggerID, &scheduled, &created, &started, &finished,
		&state, &e.Attempt, &e.Fence, &failure, &tasks, &e.LogBytes, &e.WaitingFor, &ready)
	if err != nil {
		return e, err
	}
	e.ScheduledFor, e.CreatedAt, e.StartedAt, e.FinishedAt = timeOf(scheduled), timeOf(created), timeOf(started), timeOf(finished)
	e.ReadyAt = timeOf(ready)
	e.State = visibleState(state, started)
	return fillExecution(e, failure, tasks)
}

// fillExecution adds what is stored as JSON.
func fillExecution(e job.Execution, failure, tasks string) (job.Execution, error) {
	var err error
	if e.Error, err = failureOf(failure); err != nil {
		return job.Execution{}, fmt.Errorf("execution %d: %w", e.ID, err)
	}
	if e.State == job.StateRunning {
		e.Error = nil
	}
	if e.Tasks, err = tasksOf(tasks); err != nil {
		return job.Execution{}, fmt.Errorf("execution %d: %w", e.ID, err)
	}
	return e, nil
}

func eventOf(row *ent.AuditEvent) audit.Event {
	return audit.Event{
		ID: row.ID, Time: timeOf(row.At), Actor: row.Actor, TokenID: row.TokenID, Scopes: row.Scopes, Method: row.Method, Object: row.Object,
		InstanceID: row.InstanceID, Peer: row.Peer, RequestID: row.RequestID, Code: row.Code, Details: row.Details,
	}
}
