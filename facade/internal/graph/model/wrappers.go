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

// ScheduledJobHistory is an execution.
type ScheduledJobHistory struct{ *carillonv1.Execution }

// LogPath is null when there is no log.
func (h *ScheduledJobHistory) LogPath() *string { return unlessEmpty(h.Execution.GetLogPath()) }

// SignedLogURL is null when there is no log.
func (h *ScheduledJobHistory) SignedLogURL() *string {
	return unlessEmpty(h.Execution.GetSignedLogUrl())
}

// Histories reads the latest executions of all jobs of one answer together,
// when the first of them is asked for.
type Histories struct {
	// Jobs are those of the answer.
	Jobs []*carillonv1.Job

	once sync.Once
	byID map[string][]*ScheduledJobHistory
	err  error
}

// Of returns the history of one job; read is called once for all.
func (h *Histories) Of(id string, read func([]*carillonv1.Job) (map[string][]*ScheduledJobHistory, error)) ([]*ScheduledJobHistory, error) {
	h.once.Do(func() { h.byID, h.err = read(h.Jobs) })
	return h.byID[id], h.err
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

// Instance is a tenant.
type Instance struct{ *carillonv1.Instance }

// Resource owns stored credentials.
type Resource struct{ *carillonv1.Resource }

// SchedulePreview says when a schedule would run.
type SchedulePreview struct {
	*carillonv1.PreviewScheduleResponse
}

// Client is a program that may ask for tokens.
type Client struct{ *carillonv1.Client }

// ClientSecret is null but in the answer that made it.
func (c *Client) ClientSecret() *string { return unlessEmpty(c.Client.GetClientSecret()) }

func unlessEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
