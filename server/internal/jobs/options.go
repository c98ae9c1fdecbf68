package jobs

import (
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// OptionFields are what a caller says of the options of a schedule, as Fields
// are of a job. Zero values are the defaults.
type OptionFields struct {
	// DSTGap and DSTOverlap are for CRON_BASED only, unless empty.
	DSTGap        *job.DSTGapPolicy
	DSTOverlap    *job.DSTOverlapPolicy
	Start, End    *time.Time
	Jitter        *time.Duration
	ExcludedDates *[]string
}

// LimitFields are what a caller says of limits and priority. Zero values are
// the defaults.
type LimitFields struct {
	MaxExecutions      *int64
	TimeLimit          *time.Duration
	PauseAfterFailures *int
	Priority           *int
}

func (f *OptionFields) apply(s *job.Schedule, bad *job.InvalidError) {
	f.applyClock(s, bad)
	if f.Start != nil {
		s.Start = job.Time(*f.Start)
	}
	if f.End != nil {
		s.End = job.Time(*f.End)
	}
	set(&s.Jitter, f.Jitter)
	if f.ExcludedDates != nil {
		s.ExcludedDates = nil // also for an empty list
		s.ExcludedDates = append(s.ExcludedDates, *f.ExcludedDates...)
	}
}

// applyClock sets the policies for changes of the clock. The defaults are
// stored as nothing, so that saying them is no change.
func (f *OptionFields) applyClock(s *job.Schedule, bad *job.InvalidError) {
	if f.DSTGap != nil {
		s.DSTGap = *f.DSTGap
		cronOnly(s, "dstGapPolicy", s.DSTGap != "", bad)
	}
	if f.DSTOverlap != nil {
		s.DSTOverlap = *f.DSTOverlap
		cronOnly(s, "dstOverlapPolicy", s.DSTOverlap != "", bad)
	}
	if s.DSTGap == job.GapShiftForward {
		s.DSTGap = ""
	}
	if s.DSTOverlap == job.OverlapFirst {
		s.DSTOverlap = ""
	}
}

func cronOnly(s *job.Schedule, field string, given bool, bad *job.InvalidError) {
	if given && s.Type != job.CronBased && s.Type != "" {
		bad.Add(field, ReasonOtherType, "is for CRON_BASED only; the job is %s", s.Type)
	}
}

func (f *LimitFields) apply(p *job.Policies) {
	set(&p.MaxExecutions, f.MaxExecutions)
	set(&p.TimeLimit, f.TimeLimit)
	set(&p.PauseAfterFailures, f.PauseAfterFailures)
	set(&p.Priority, f.Priority)
}

// sameOptions tells whether options lead to the same slots. Jitter only delays
// starts.
func sameOptions(a, b job.ScheduleOptions) bool {
	return a.DSTGap == b.DSTGap && a.DSTOverlap == b.DSTOverlap && a.Start.Equal(b.Start) && a.End.Equal(b.End) &&
		slices.Equal(a.ExcludedDates, b.ExcludedDates)
}

// recount lets what limits count begin anew where a limit has changed, and
// answers whether an exhausted job goes on by that.
func recount(old job.Job, j *job.Job) (revived bool) {
	if old.Policies.MaxExecutions != j.Policies.MaxExecutions {
		j.Started = 0
		revived = j.Active && exhausted(old)
	}
	if old.Policies.PauseAfterFailures != j.Policies.PauseAfterFailures || j.Active && !old.Active {
		j.Failures = 0
	}
	return revived
}

// exhausted tells whether a job has made all the executions that it may.
func exhausted(j job.Job) bool {
	return j.Policies.MaxExecutions > 0 && j.Started >= j.Policies.MaxExecutions
}
