package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/store"
)

// Create asks for a new job.
type Create struct {
	InstanceID int64
	Fields     Fields
	// ValidateOnly checks everything and changes nothing.
	ValidateOnly bool
	Request      store.Request
}

// Create makes a job.
func (s *Service) Create(ctx context.Context, c Create) (job.Job, error) {
	if err := s.checkInstance(ctx, c.InstanceID, auth.Write); err != nil {
		return job.Job{}, err
	}
	j, err := s.apply(ctx, blank(c.InstanceID), c.Fields, true)
	if err != nil {
		return job.Job{}, err
	}
	now := s.now()
	j.CreatedAt, j.UpdatedAt = now, now
	j.Schedule.Anchor = now.Truncate(time.Second)
	if err := start(&j, now); err != nil {
		return job.Job{}, err
	}
	if c.ValidateOnly {
		return j, nil
	}
	made, err := s.store.CreateJob(ctx, j, c.Request)
	if errors.Is(err, store.ErrNotFound) {
		return job.Job{}, job.KindInstance.NotFound(job.KindInstance.Format(c.InstanceID))
	}
	return made, err
}

// Update asks for a change of a job.
type Update struct {
	ID int64
	// ETag, when not empty, must be the present one.
	ETag   string
	Fields Fields
	// ValidateOnly checks everything and changes nothing.
	ValidateOnly bool
}

// errMoved says that the job changed between the check and the write.
var errMoved = errors.New("the job changed meanwhile")

// maxTries bounds how often an update is checked anew because of others.
const maxTries = 8

// Update changes a job and answers it.
func (s *Service) Update(ctx context.Context, u Update) (job.Job, error) {
	for range maxTries {
		j, err := s.try(ctx, u)
		if !errors.Is(err, errMoved) {
			return j, orNotFound(err, u.ID)
		}
	}
	return job.Job{}, &job.UnavailableError{Message: "the job is being changed by others all the time; try again later", Cause: errMoved}
}

// try checks an update against the job as it is and writes it if the job's
// definition is still the same then: the check reads other rows, which the
// write's transaction should not wait for.
func (s *Service) try(ctx context.Context, u Update) (job.Job, error) {
	base, err := s.load(ctx, u.ID, auth.Write)
	if err != nil {
		return job.Job{}, err
	}
	if err := checkETag(base, u.ETag); err != nil {
		return job.Job{}, err
	}
	next, err := s.apply(ctx, base, u.Fields, false)
	if err != nil {
		return job.Job{}, err
	}
	if sameDefinition(&base, &next) {
		return base, nil
	}
	now := s.now()
	if u.ValidateOnly {
		_, err := settle(base, &next, now)
		return next, err
	}
	return s.store.UpdateJob(ctx, u.ID, now, func(j *job.Job) (bool, []job.Skip, error) {
		if j.Version != base.Version {
			return false, nil, errMoved
		}
		old := *j
		adopt(j, &next)
		skips, err := settle(old, j, now)
		return true, skips, err
	})
}

// start gives a job the state that its definition asks for from now on.
func start(j *job.Job, now time.Time) error {
	times, err := compile(*j)
	if err != nil {
		return err
	}
	j.NextRun, j.PausedAt = time.Time{}, now
	if j.Active {
		j.PausedAt = time.Time{}
	}
	if j.Active && !exhausted(*j) {
		j.NextRun, _ = times.Next(now)
	}
	j.Schedule.Since = time.Time{}
	if len(j.Schedule.ExcludedDates) > 0 {
		j.Schedule.Since = now
	}
	return nil
}

// settle moves the state of a job whose definition changed from old to j, and
// tells which slots of the old one are left behind.
func settle(old job.Job, j *job.Job, now time.Time) ([]job.Skip, error) {
	moved, revived := !sameTimes(old.Schedule, j.Schedule), recount(old, j)
	if !moved && !revived && old.Active == j.Active {
		return nil, nil
	}
	activated := j.Active && !old.Active
	if activated || old.Schedule.Type != j.Schedule.Type || old.Schedule.IntervalMinutes != j.Schedule.IntervalMinutes {
		j.Schedule.Anchor = now.Truncate(time.Second)
	}
	reason := job.SkipMissed
	if moved {
		reason = job.SkipSuperseded
	}
	skips := left(old, reason, now)
	// For a job that stays paused, the pause counts from now on by the new
	// schedule: what the old one had is told.
	return skips, start(j, now)
}

// left folds the slots up to now of which nothing has been told: those of a
// pause, or else, with the reason given, those that were overdue, and those
// that excluded dates took away.
func left(old job.Job, reason string, now time.Time) []job.Skip {
	times, err := compile(old)
	if err != nil {
		times = nil // damaged in the store: the one slot is all we know
	}
	switch {
	case exhausted(old):
		return nil
	case old.Active:
		return append(overdue(old, times, reason, now), excluded(old, times, now)...)
	case times == nil:
		return nil
	default:
		return append(paused(old, times, now), excluded(old, times, now)...)
	}
}

// overdue folds the slots of an active job up to now that it did not come to.
func overdue(j job.Job, times *schedule.Schedule, reason string, now time.Time) []job.Skip {
	if j.NextRun.IsZero() || j.NextRun.After(now) {
		return nil
	}
	skip := job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: reason, First: j.NextRun, Last: j.NextRun, Count: 1}
	if times != nil {
		if more, ok := times.Between(j.NextRun, now); ok {
			skip.Last = more.Last
			skip.Count += more.Count
		}
	}
	return []job.Skip{skip}
}

// excluded tells the slots that excluded dates took away since the job was
// paused, or since the last slot that it came to.
func excluded(j job.Job, times *schedule.Schedule, now time.Time) (skips []job.Skip) {
	if times == nil || j.Schedule.Since.IsZero() {
		return nil
	}
	after := later(j.Schedule.Since, j.PausedAt)
	if j.Active {
		upTo := now
		if !j.NextRun.IsZero() {
			upTo = j.NextRun.Add(-1)
		}
		if slots, ok := times.Between(after, upTo); ok {
			after = slots.Last
		}
	}
	for _, run := range times.ExcludedRuns(after, now) {
		skips = append(skips, job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipExcluded, First: run.First, Last: run.Last, Count: run.Count})
	}
	return skips
}

// paused folds the slots that a paused job has passed until now.
func paused(j job.Job, times *schedule.Schedule, now time.Time) []job.Skip {
	slots, ok := times.Between(j.PausedAt, now)
	if !ok || j.PausedAt.IsZero() || exhausted(j) {
		return nil
	}
	return []job.Skip{{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipPaused, First: slots.First, Last: slots.Last, Count: slots.Count}}
}

// Pause stops a job from running when due; a paused one stays as it is.
func (s *Service) Pause(ctx context.Context, id int64, etag string) (job.Job, error) {
	active := false
	return s.Update(ctx, Update{ID: id, ETag: etag, Fields: Fields{Active: &active}})
}

// Resume lets a paused job run again; an active one stays as it is.
func (s *Service) Resume(ctx context.Context, id int64, etag string) (job.Job, error) {
	active := true
	return s.Update(ctx, Update{ID: id, ETag: etag, Fields: Fields{Active: &active}})
}
