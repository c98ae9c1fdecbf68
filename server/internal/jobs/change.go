package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
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
	caller, err := auth.Require(ctx)
	if err != nil {
		return job.Job{}, err
	}
	if c.Request.Key != "" {
		c.Request.Digest = fingerprint(j)
	}
	now := s.now()
	j.CreatedAt, j.UpdatedAt = now, now
	j.Schedule.Anchor = now.Truncate(time.Second)
	setPause(job.Job{Active: true}, &j, nil, caller.Subject, now)
	if err := start(&j, now); err != nil {
		return job.Job{}, err
	}
	if c.ValidateOnly {
		in, err := s.store.Instance(ctx, c.InstanceID)
		j.Hold = in.Pause
		return shown(j, now), err
	}
	made, err := s.store.CreateJob(ctx, j, c.Request)
	return s.show(ctx, made, store.OrMissing(err, job.KindInstance, c.InstanceID))
}

// fingerprint is the same for equal definitions, whatever a door or a caller
// leaves to the defaults.
func fingerprint(j job.Job) string {
	return digest(struct {
		Name, Description, ManagedBy string
		Active                       bool
		Workflow                     json.RawMessage
		Schedule                     job.Schedule
		Policies                     job.Policies
		Labels                       map[string]string
	}{j.Name, j.Description, j.ManagedBy, j.Active, j.Workflow, j.Schedule, j.Policies.WithDefaults(), j.Labels})
}

// digest is the same for equal values, none of which can fail to encode.
func digest(of any) string {
	text, _ := json.Marshal(of)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Update asks for a change of a job.
type Update struct {
	ID int64
	// ETag, when not empty, must be the present one.
	ETag   string
	Fields Fields
	// ValidateOnly checks everything and changes nothing.
	ValidateOnly bool
	// pause is what is said of the pause that this begins or changes.
	pause *Pause
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
			return s.show(ctx, j, store.OrMissing(err, job.KindJob, u.ID))
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
	now := s.now()
	if err := u.pause.check(now); err != nil {
		return job.Job{}, err
	}
	if sameDefinition(&base, &next) && !u.pause.replaces(base) {
		return base, nil
	}
	caller, err := auth.Require(ctx)
	if err != nil {
		return job.Job{}, err
	}
	if u.ValidateOnly {
		return s.foresee(ctx, base, next, caller.Subject, now)
	}
	return s.store.UpdateJob(ctx, u.ID, s.now, func(j *job.Job, now time.Time) (bool, []job.Skip, error) {
		if j.Version != base.Version {
			return false, nil, errMoved
		}
		old := *j
		adopt(j, &next)
		setPause(old, j, u.pause, caller.Subject, now)
		skips, err := settle(old, j, now)
		return true, skips, err
	})
}

// foresee is what an update would lead to.
func (s *Service) foresee(ctx context.Context, base, next job.Job, subject string, now time.Time) (job.Job, error) {
	var err error
	if base.Changes, err = s.store.OccurrenceChanges(ctx, base.ID); err != nil {
		return job.Job{}, fmt.Errorf("read the changed occurrences of job %d: %w", base.ID, err)
	}
	next.Changes = base.Changes
	setPause(base, &next, nil, subject, now)
	_, err = settle(base, &next, now)
	return next, err
}
