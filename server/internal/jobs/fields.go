package jobs

import (
	"maps"
	"reflect"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Fields are what a caller says of a job. Nil means that nothing is said: the
// default at a creation, unchanged at an update.
type Fields struct {
	// InstanceID is as the caller wrote it; it must be the job's.
	InstanceID  *string
	Name        *string
	Description *string
	ManagedBy   *string
	Active      *bool
	// Workflow is the decoded JSON document.
	Workflow        map[string]any
	Type            *job.FrequencyType
	Cron            *string
	IntervalMinutes *int
	TimeZone        *string
	// Labels replace all labels.
	Labels        *map[string]string
	Overlap       *job.OverlapPolicy
	CatchUp       *job.CatchUpPolicy
	CatchUpWindow *time.Duration
	// NoRetry takes the retry policy away.
	NoRetry bool
	Retry   *RetryFields
	Options OptionFields
	Limits  LimitFields
}

// RetryFields are what a caller says of a retry policy.
type RetryFields struct {
	Count        *int
	MinBackoff   *time.Duration
	MaxBackoff   *time.Duration
	MaxDoublings *int
	MaxDuration  *time.Duration
}

// DefaultRetry is a retry policy of which nothing is said.
func DefaultRetry() job.RetryPolicy {
	return job.RetryPolicy{MinBackoff: 5 * time.Second, MaxBackoff: time.Hour, MaxDoublings: 5}
}

// blank is a job of which nothing is said.
func blank(instanceID int64) job.Job {
	return job.Job{
		InstanceID: instanceID,
		Active:     true,
		Schedule:   job.Schedule{TimeZone: job.DefaultTimeZone},
		Policies:   job.Policies{}.WithDefaults(),
	}
}

// set replaces a value by what is said of it, if anything.
func set[T any](value *T, said *T) {
	if said != nil {
		*value = *said
	}
}

// applyPlain sets what needs no knowledge of the rest of the job.
func (f *Fields) applyPlain(j *job.Job, bad *job.InvalidError) {
	set(&j.Name, f.Name)
	set(&j.Description, f.Description)
	set(&j.ManagedBy, f.ManagedBy)
	set(&j.Active, f.Active)
	set(&j.Labels, f.Labels)
	set(&j.Policies.Overlap, f.Overlap)
	set(&j.Policies.CatchUp, f.CatchUp)
	set(&j.Policies.CatchUpWindow, f.CatchUpWindow)
	f.Limits.apply(&j.Policies)
	if f.NoRetry {
		j.Policies.Retry = nil
	}
	if f.Retry != nil {
		retry := DefaultRetry()
		set(&retry, j.Policies.Retry)
		f.Retry.apply(&retry, bad)
		j.Policies.Retry = &retry
	}
}

func (f *RetryFields) apply(p *job.RetryPolicy, bad *job.InvalidError) {
	set(&p.Count, f.Count)
	set(&p.MinBackoff, f.MinBackoff)
	set(&p.MaxBackoff, f.MaxBackoff)
	set(&p.MaxDoublings, f.MaxDoublings)
	set(&p.MaxDuration, f.MaxDuration)
	if p.MaxBackoff < p.MinBackoff {
		field := "retryPolicy.maxBackoff"
		if f.MaxBackoff == nil {
			field = "retryPolicy.minBackoff"
		}
		bad.Add(field, "BACKOFF_ORDER", "minBackoff %s is longer than maxBackoff %s", p.MinBackoff, p.MaxBackoff)
	}
}

// adopt gives a job the definition of another one; its state stays.
func adopt(j, definition *job.Job) {
	j.Name, j.Description, j.Active, j.Labels = definition.Name, definition.Description, definition.Active, definition.Labels
	j.ManagedBy = definition.ManagedBy
	j.Workflow, j.ResourceIDs, j.Folders = definition.Workflow, definition.ResourceIDs, definition.Folders
	j.Schedule, j.Policies = definition.Schedule, definition.Policies
}

// sameDefinition tells whether two jobs say the same.
func sameDefinition(a, b *job.Job) bool {
	return a.Name == b.Name && a.Description == b.Description && a.ManagedBy == b.ManagedBy && a.Active == b.Active &&
		string(a.Workflow) == string(b.Workflow) && maps.Equal(a.Labels, b.Labels) &&
		sameTimes(a.Schedule, b.Schedule) && a.Schedule.TimeZone == b.Schedule.TimeZone && a.Schedule.Jitter == b.Schedule.Jitter &&
		reflect.DeepEqual(a.Policies, b.Policies)
}

// sameTimes tells whether two schedules with the same anchor have the same
// slots. The zone means nothing to an interval, unless dates are left out.
func sameTimes(a, b job.Schedule) bool {
	zoned := a.Type == job.CronBased || len(a.ExcludedDates) > 0
	return a.Type == b.Type && a.Cron == b.Cron && a.IntervalMinutes == b.IntervalMinutes &&
		(!zoned || a.TimeZone == b.TimeZone) && sameOptions(a.ScheduleOptions, b.ScheduleOptions)
}
