package instances

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// Pause asks to stop the jobs of an instance from running when due.
type Pause struct {
	ID int64
	// Reason is for people; empty for none.
	Reason string
	// Until is when it resumes by itself, zero for never.
	Until time.Time
}

// Pause pauses an instance. For a paused one reason and end are replaced when
// either is given; otherwise it stays as it is.
func (s *Service) Pause(ctx context.Context, p Pause) (job.Instance, error) {
	in, err := s.show(s.load(ctx, p.ID, auth.Write))
	if err != nil {
		return job.Instance{}, err
	}
	caller, err := auth.Require(ctx)
	if err != nil {
		return job.Instance{}, err
	}
	now := s.now()
	asked := job.Pause{Reason: p.Reason, Actor: caller.Subject, Since: now, Until: job.Time(p.Until)}
	switch old := in.Pause; {
	case !asked.Until.IsZero() && asked.Over(now):
		return job.Instance{}, job.Invalid("until", task.ReasonOutOfRange, "must be in the future; leave it out for a pause without an end")
	case old == nil:
	case asked.Reason == "" && asked.Until.IsZero(), asked.Reason == old.Reason && asked.Until.Equal(old.Until):
		return in, nil
	}
	in, err = s.store.PauseInstance(ctx, p.ID, s.now, asked)
	return s.show(in, store.OrMissing(err, job.KindInstance, p.ID))
}

// Resume lets the jobs of a paused instance run again; one that is not paused
// stays as it is.
func (s *Service) Resume(ctx context.Context, id int64) (job.Instance, error) {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return job.Instance{}, err
	}
	in, err := s.store.ResumeInstance(ctx, id, s.now)
	return s.show(in, store.OrMissing(err, job.KindInstance, id))
}

// show is an instance as people see it.
func (s *Service) show(in job.Instance, err error) (job.Instance, error) {
	if err != nil {
		return job.Instance{}, err
	}
	if in.Pause.Over(s.now()) {
		in.Pause = nil
	}
	return in, nil
}
