package schedule

import (
	"strings"

	"github.com/pointscene/carillon/server/internal/job"
)

// ForJob is the Spec of a job's schedule; the id seeds the jitter.
func ForJob(s job.Schedule, jobID int64) Spec {
	spec := Spec{
		Cron:            s.Cron,
		IntervalMinutes: s.IntervalMinutes,
		TimeZone:        s.TimeZone,
		Anchor:          s.Anchor,
		Start:           s.Start,
		End:             s.End,
		Jitter:          s.Jitter,
		Exclusions:      exclusions(s.ExcludedDates),
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
	if s.DSTGap == job.GapSkip {
		spec.DSTGap = Skip
	}
	if s.DSTOverlap == job.OverlapBoth {
		spec.DSTOverlap = Both
	}
	return spec
}

// exclusions splits dates and ranges: 2026-12-24, 2026-12-24/2027-01-06. What
// is neither stays whole, for Compile to refuse.
func exclusions(dates []string) []Exclusion {
	if len(dates) == 0 {
		return nil
	}
	list := make([]Exclusion, len(dates))
	for i, text := range dates {
		from, to, _ := strings.Cut(text, "/")
		if to == "" {
			from = text
		}
		list[i] = Exclusion{From: from, To: to}
	}
	return list
}
