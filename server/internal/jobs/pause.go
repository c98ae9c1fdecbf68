package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/occurrence"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// Pause asks to stop a job from running when due.
type Pause struct {
	ID int64
	// ETag, when not empty, must be the present one.
	ETag string
	// Reason is for people; empty for none.
	Reason string
	// Until is when it resumes by itself, zero for never.
	Until time.Time
}

// Pause pauses a job. For a paused one reason and end are replaced when either
// is given; otherwise it stays as it is.
func (s *Service) Pause(ctx context.Context, p Pause) (job.Job, error) {
	active := false
	p.Until = job.Time(p.Until)
	return s.Update(ctx, Update{ID: p.ID, ETag: p.ETag, Fields: Fields{Active: &active}, pause: &p})
}

// Resume lets a paused job run again; an active one stays as it is.
func (s *Service) Resume(ctx context.Context, id int64, etag string) (job.Job, error) {
	active := true
	return s.Update(ctx, Update{ID: id, ETag: etag, Fields: Fields{Active: &active}})
}

// check refuses a pause that would be over at once. Nil says nothing.
func (p *Pause) check(now time.Time) error {
	if p == nil || p.Until.IsZero() || p.Until.After(now) {
		return nil
	}
	return job.Invalid("until", task.ReasonOutOfRange, "must be in the future; leave it out for a pause without an end")
}

// replaces tells whether a pause says something new of a job that is paused.
func (p *Pause) replaces(j job.Job) bool {
	if p == nil || j.Pause == nil {
		return false
	}
	if j.Pause.Reauth {
		return true // somebody wants it paused, whatever becomes of the credentials
	}
	said := p.Reason != "" || !p.Until.IsZero()
	return said && (p.Reason != j.Pause.Reason || !p.Until.Equal(j.Pause.Until))
}

// setPause says why, since when and until when a job does not run, for one that
// is not active: by the pause that its caller asked for, or as before.
func setPause(old job.Job, j *job.Job, asked *Pause, caller string, now time.Time) {
	replaces := asked.replaces(old)
	if asked == nil {
		asked = &Pause{}
	}
	pause := &job.Pause{Reason: asked.Reason, Actor: caller, Since: now, Until: asked.Until}
	switch {
	case j.Active:
		j.Pause = nil
	case old.Active:
		j.Pause = pause
	case replaces:
		pause.Since = old.Pause.Since
		j.Pause = pause
	}
}

// show is a job that was read, as people see it.
func (s *Service) show(ctx context.Context, j job.Job, err error) (job.Job, error) {
	if err != nil {
		return job.Job{}, err
	}
	if j.NextLeftOut {
		if j, err = s.withChanges(ctx, j); err != nil {
			return job.Job{}, err
		}
	}
	return shown(j, s.now()), nil
}

// withChanges is a job that was read with its changed occurrences; its state is
// as new as these.
func (s *Service) withChanges(ctx context.Context, j job.Job) (job.Job, error) {
	err := s.store.Snapshot(ctx, func(ctx context.Context) error {
		current, err := s.store.Job(ctx, j.ID)
		switch {
		case err == nil && current.Version == j.Version:
			j = current
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("read job %d: %w", j.ID, err)
		}
		if j.Changes, err = s.store.OccurrenceChanges(ctx, j.ID); err != nil {
			return fmt.Errorf("read the changed occurrences of job %d: %w", j.ID, err)
		}
		return nil
	})
	return j, err
}

// shown is a job as people see it: the pause of its instance is its own, and
// its next run is the next time that it starts. The ticker also comes by to
// tell what a caller leaves out.
func shown(j job.Job, now time.Time) job.Job {
	if !j.Hold.Over(now) {
		j.Pause, j.NextRun = both(j.Pause, j.Hold), time.Time{}
	}
	if j.NextLeftOut && !j.NextRun.IsZero() {
		if times, err := compile(j); err == nil {
			j.NextRun = occurrence.Plan{Times: times, Changes: j.Changes}.Starts(j.NextRun)
		}
	}
	return j
}

// both is what people are told of two pauses: from the first to the last.
func both(own, instance *job.Pause) *job.Pause {
	if own == nil {
		return instance
	}
	p := *own
	p.InstanceID = instance.InstanceID
	if instance.Since.Before(p.Since) {
		p.Since = instance.Since
	}
	switch {
	case p.Until.IsZero() || instance.Until.IsZero():
		p.Until = time.Time{}
	default:
		p.Until = later(p.Until, instance.Until)
	}
	return &p
}
