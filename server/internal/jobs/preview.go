package jobs

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/task"
)

// The bounds of a preview.
const (
	defaultPreview = 10
	maxPreview     = 100
)

// Preview asks when a schedule would run.
type Preview struct {
	// Fields says the schedule and the overlap policy; the rest of it is
	// ignored.
	Fields Fields
	// After is exclusive, now when nil. An interval is anchored here.
	After *time.Time
	// Count is how many times at most, 10 when zero.
	Count int
	// Lasts is how long every execution is taken to last; with 0 no outcomes
	// are told.
	Lasts time.Duration
}

// Previews is what a preview tells.
type Previews struct {
	Times    []time.Time
	Warnings []schedule.Warning
	// Outcomes tell what would become of each time; none without Lasts.
	Outcomes []policy.Previewed
}

// Preview answers the first times of a schedule and what may surprise in
// them. It needs a caller and no job.
func (s *Service) Preview(ctx context.Context, p Preview) (Previews, error) {
	if _, err := auth.Require(ctx); err != nil {
		return Previews{}, err
	}
	var bad job.InvalidError
	j := blank(0)
	if err := p.Fields.applySchedule(&j.Schedule, &bad); err != nil {
		return Previews{}, err
	}
	set(&j.Policies.Overlap, p.Fields.Overlap)
	if p.Count == 0 {
		p.Count = defaultPreview
	}
	if p.Count < 0 || p.Count > maxPreview {
		bad.Add("count", task.ReasonOutOfRange, "must be from 1 to %d", maxPreview)
	}
	after := s.now()
	set(&after, p.After)
	if after.Unix() < 0 || after.Year() > 2199 {
		bad.Add("after", task.ReasonOutOfRange, "must be from 1970 to 2199")
	}
	if err := bad.Err(); err != nil {
		return Previews{}, err
	}
	j.Schedule.Anchor = after.Truncate(time.Second)
	times, err := compile(j)
	if err != nil {
		return Previews{}, err
	}
	out := Previews{Times: following(times, after, p.Count), Warnings: times.Warnings(after)}
	if p.Lasts > 0 {
		out.Outcomes = policy.Preview(j.Schedule, j.Policies.Overlap, out.Times, p.Lasts)
	}
	return out, nil
}

// following lists up to n slots after an instant.
func following(times *schedule.Schedule, after time.Time, n int) []time.Time {
	var list []time.Time
	for len(list) < n {
		slot, ok := times.Next(after)
		if !ok {
			break
		}
		list = append(list, slot)
		after = slot
	}
	return list
}
