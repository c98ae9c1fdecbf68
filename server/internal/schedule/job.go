package schedule

import "github.com/pointscene/carillon/server/internal/job"

// ForJob is the Spec of a job's schedule; the id seeds the jitter.
func ForJob(s job.Schedule, jobID int64) Spec {
	spec := Spec{
		Cron:            s.Cron,
		IntervalMinutes: s.IntervalMinutes,
		TimeZone:        s.TimeZone,
		Anchor:          s.Anchor,
		Seed:            jobID,
	}
	switch s.Type {
	case job.CronBased:
		spec.Kind = Cron
	case job.IntervalBased:
		spec.Kind = Interval
	default:
		spec.Kind = Manual
	}
	return spec
}
