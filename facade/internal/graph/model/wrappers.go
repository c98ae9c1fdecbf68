package model

import (
	"sync"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// ScheduledJob is a job that knows how its history is read.
type ScheduledJob struct {
	*carillonv1.Job
	// Latest answers the job's latest executions.
	Latest *Histories
}

// Name is null when the job has none.
func (j *ScheduledJob) Name() *string { return unlessEmpty(j.Job.GetName()) }

// Description is null when the job has none.
func (j *ScheduledJob) Description() *string { return unlessEmpty(j.Job.GetDescription()) }

// Active is never null.
func (j *ScheduledJob) Active() bool { return j.Job.GetActive() }

// TimeZone is never null.
func (j *ScheduledJob) TimeZone() string { return j.Job.GetTimeZone() }

// Labels is never null.
func (j *ScheduledJob) Labels() map[string]string {
	if labels := j.Job.GetLabels(); labels != nil {
		return labels
	}
	return map[string]string{}
}

// Pause is null while it runs when due.
func (j *ScheduledJob) Pause() *Pause { return pauseOf(j.Job.GetPause()) }

// Backfill is a range of the past that is run as one. It is wrapped since
// gqlgen passes what is never null by value, which a message must not be.
type Backfill struct{ *carillonv1.Backfill }

// BackfillOf is nil for an error's missing answer.
func BackfillOf(b *carillonv1.Backfill, err error) (*Backfill, error) {
	if err != nil {
		return nil, err
	}
	return &Backfill{b}, nil
}

// Pause says why something does not run.
type Pause struct{ *carillonv1.Pause }

func pauseOf(p *carillonv1.Pause) *Pause {
	if p == nil {
		return nil
	}
	return &Pause{p}
}

// Reason is null when none was given.
func (p *Pause) Reason() *string { return unlessEmpty(p.Pause.GetReason()) }

// InstanceID is null when the job alone is paused.
func (p *Pause) InstanceID() *string { return unlessEmpty(p.Pause.GetInstanceId()) }

// ScheduledJobHistory is an execution.
type ScheduledJobHistory struct{ *carillonv1.Execution }

// LogPath is null when there is no log.
func (h *ScheduledJobHistory) LogPath() *string { return unlessEmpty(h.Execution.GetLogPath()) }

// SignedLogURL is null when there is no log.
func (h *ScheduledJobHistory) SignedLogURL() *string {
	return unlessEmpty(h.Execution.GetSignedLogUrl())
}

// TriggerID is null unless a backfill made it.
func (h *ScheduledJobHistory) TriggerID() *string { return unlessEmpty(h.Execution.GetTriggerId()) }

// JobPlan is what a job would do; see Backfill for why it is wrapped.
type JobPlan struct{ *carillonv1.PlanJobResponse }

// WaitingFor is null unless it waits for another execution.
func (h *ScheduledJobHistory) WaitingFor() *WaitingFor {
	if h.Execution.GetWaitingFor() == nil {
		return nil
	}
	return &WaitingFor{h.Execution.GetWaitingFor()}
}

// WaitingFor says why a queued execution can't start yet.
type WaitingFor struct {
	*carillonv1.Execution_WaitingFor
}

// ExecutionID is null for one of another instance.
func (w *WaitingFor) ExecutionID() *string {
	return unlessEmpty(w.Execution_WaitingFor.GetExecutionId())
}

// Histories reads the latest executions of all jobs of one answer together,
// when the first of them is asked for.
type Histories struct {
	// Jobs are those of the answer.
	Jobs []*carillonv1.Job

	byCount sync.Map // of func() (map[string][]*ScheduledJobHistory, error)
}

// Of returns the latest executions of one job, count at most; read is called
// once for all jobs.
func (h *Histories) Of(id string, count int32, read func(jobs []*carillonv1.Job, count int32) (map[string][]*ScheduledJobHistory, error)) ([]*ScheduledJobHistory, error) {
	once, _ := h.byCount.LoadOrStore(count, sync.OnceValues(func() (map[string][]*ScheduledJobHistory, error) { return read(h.Jobs, count) }))
	byID, err := once.(func() (map[string][]*ScheduledJobHistory, error))()
	return byID[id], err
}

// Occurrence is an instant at which a job was or will be due.
type Occurrence struct{ *carillonv1.Occurrence }

// Reason is null unless it was skipped.
func (o *Occurrence) Reason() *string { return unlessEmpty(o.Occurrence.GetReason()) }

// ExecutionID is null when there is no execution.
func (o *Occurrence) ExecutionID() *string { return unlessEmpty(o.Occurrence.GetExecutionId()) }

// LogLine is a line of an execution's log.
type LogLine struct{ *carillonv1.TailLogResponse }

// Task is null for a line of the execution itself.
func (l *LogLine) Task() *string { return unlessEmpty(l.TailLogResponse.GetTask()) }

// ExecutionChange is an execution that changed.
type ExecutionChange struct {
	*carillonv1.WatchExecutionsResponse
}

// Execution is the execution as it is now.
func (c *ExecutionChange) Execution() *ScheduledJobHistory {
	return &ScheduledJobHistory{c.WatchExecutionsResponse.GetExecution()}
}

// JobExplanation is what happened to a job.
type JobExplanation struct{ *carillonv1.ExplainJobResponse }

// Explanations are never null.
func (j *JobExplanation) Explanations() []*Explanation {
	list := make([]*Explanation, len(j.ExplainJobResponse.GetExplanations()))
	for i, one := range j.ExplainJobResponse.GetExplanations() {
		list[i] = &Explanation{one}
	}
	return list
}

// Explanation is what happened at one time.
type Explanation struct{ *carillonv1.Explanation }

// ExecutionID is null when it is about none.
func (e *Explanation) ExecutionID() *string { return unlessEmpty(e.Explanation.GetExecutionId()) }

// Instance is a tenant.
type Instance struct{ *carillonv1.Instance }

// Pause is null while its jobs run when due.
func (i *Instance) Pause() *Pause { return pauseOf(i.Instance.GetPause()) }

// Quota is what an instance may use and uses.
type Quota struct{ *carillonv1.Quota }

// Limits are never null.
func (q *Quota) Limits() *carillonv1.QuotaLimits { return orEmpty(q.Quota.GetLimits()) }

// OwnLimits are never null.
func (q *Quota) OwnLimits() *carillonv1.QuotaLimits { return orEmpty(q.Quota.GetOwnLimits()) }

func orEmpty(limits *carillonv1.QuotaLimits) *carillonv1.QuotaLimits {
	if limits == nil {
		return &carillonv1.QuotaLimits{}
	}
	return limits
}

// AuditEvent is one thing that somebody did or tried to do.
type AuditEvent struct{ *carillonv1.AuditEvent }

// InstanceID is null when it belongs to none.
func (e *AuditEvent) InstanceID() *string { return unlessEmpty(e.AuditEvent.GetInstanceId()) }

// Details are never null.
func (e *AuditEvent) Details() map[string]string {
	if details := e.AuditEvent.GetDetails(); details != nil {
		return details
	}
	return map[string]string{}
}

// Resource owns stored credentials.
type Resource struct{ *carillonv1.Resource }

// SchedulePreview says when a schedule would run.
type SchedulePreview struct {
	*carillonv1.PreviewScheduleResponse
}

// Occurrences are what would become of the times.
func (p *SchedulePreview) Occurrences() []*PreviewedOccurrence {
	out := []*PreviewedOccurrence{}
	for _, occurrence := range p.GetOccurrences() {
		out = append(out, &PreviewedOccurrence{occurrence})
	}
	return out
}

// PreviewedOccurrence is what would become of one time.
type PreviewedOccurrence struct {
	*carillonv1.PreviewedOccurrence
}

// Reason is null unless it would be skipped.
func (o *PreviewedOccurrence) Reason() *string { return unlessEmpty(o.PreviewedOccurrence.GetReason()) }

// Client is a program that may ask for tokens.
type Client struct{ *carillonv1.Client }

// ClientSecret is null but in the answer that made it.
func (c *Client) ClientSecret() *string { return c.Client.ClientSecret }

func unlessEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
