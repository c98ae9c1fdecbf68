// Package jobs holds what callers can do with jobs: the rules behind the
// JobService, without gRPC.
//
// Rules:
//   - Every call checks the caller's access to the job that was loaded, on top
//     of what the door has checked.
//   - Everything about a definition is checked before anything is stored, and
//     every violation is told at once. An update is checked as the whole job
//     that it would lead to.
//   - An update that changes nothing writes nothing: version, times and next
//     run stay.
//   - The next run moves only when the schedule changes or the job is paused
//     or resumed. Then it counts from now, and each slot that the old
//     definition leaves behind is told by a skip: PAUSED for the time of a
//     pause, SUPERSEDED for what a change of the schedule overtook, MISSED for
//     what was overdue when the job was paused. Nothing is made up.
//   - A changed limit counts anew, and so an exhausted job goes on. What would
//     have been due after a job's last execution is not due, and not told.
//   - A pause of the instance holds a job: it stays active and is not due. People
//     are told both pauses as one, and the time of either is PAUSED.
//   - What callers want of single occurrences is no part of the definition. A
//     change of the schedule keeps it for the slots that there still are.
//   - What became of occurrences and what will is read in one snapshot: else one
//     that the ticker comes by meanwhile is told twice or not at all.
//   - What will become of occurrences is told as it is if nobody changes
//     anything (outlook.go); only what is told so can be skipped or moved.
//   - A schedule that runs more often than the instance's quota allows is
//     refused when it is given, not when it was there before the quota.
//   - An interval's anchor is the creation cut to the second. It is set anew
//     only when the interval or the type changes or the job is activated.
package jobs

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// Store is what this package needs of the database; package store has the
// contracts.
type Store interface {
	store.Snapshots
	store.Jobs
	store.Occurrences
	store.Backfills
	Instance(ctx context.Context, id int64) (job.Instance, error)
	// Limits answers the limits of an instance that hold.
	Limits(ctx context.Context, id int64) (job.Limits, error)
	ResourcesByID(ctx context.Context, ids []int64) ([]job.Resource, error)
	EnqueueManual(ctx context.Context, m store.Manual) (job.Execution, error)
	ExecutionsBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Execution, error)
	ScheduledBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Execution, error)
	// Remotes lists the sealed remotes of a resource by name.
	Remotes(ctx context.Context, resourceID int64) ([]job.SealedRemote, error)
	SkipsBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Skip, error)
}

// Service is the use cases of jobs. Its methods return the errors of package
// job that callers can tell apart; the caller is the principal of the context.
type Service struct {
	store Store
	auth  *auth.Authorizer
	types *task.Registry
	now   func() time.Time
	// planning is nil until PlanWith.
	planning *Planning
}

// New returns a Service for workflows of the given task types, by the clock
// now.
func New(s Store, authorizer *auth.Authorizer, types *task.Registry, now func() time.Time) *Service {
	return &Service{store: s, auth: authorizer, types: types, now: func() time.Time { return job.Time(now()) }}
}

// Get answers one job.
func (s *Service) Get(ctx context.Context, id int64) (job.Job, error) {
	j, err := s.load(ctx, id, auth.Read)
	return s.show(ctx, j, err)
}

// List answers the jobs of an instance, newest first.
func (s *Service) List(ctx context.Context, instanceID int64, page store.Page) ([]job.Job, error) {
	if err := s.checkInstance(ctx, instanceID, auth.Read); err != nil {
		return nil, err
	}
	jobs, err := s.store.Jobs(ctx, instanceID, page)
	for i := range jobs {
		if jobs[i], err = s.show(ctx, jobs[i], err); err != nil {
			return nil, err
		}
	}
	return jobs, err
}

// Delete removes a job. etag, when not empty, must be the present one.
func (s *Service) Delete(ctx context.Context, id int64, etag string) error {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return err
	}
	err := s.store.DeleteJob(ctx, id, s.now, func(j job.Job) error { return checkETag(j, etag) })
	return store.OrMissing(err, job.KindJob, id)
}

// Run asks for an execution now.
type Run struct {
	JobID int64
	// Overlap replaces the job's own policy for this execution, unless empty.
	Overlap job.OverlapPolicy
	// TriggerID is the caller's request id, or anything unique.
	TriggerID string
	Request   store.Request
}

// Run records an execution of a job, paused or not.
func (s *Service) Run(ctx context.Context, r Run) (job.Execution, error) {
	if _, err := s.load(ctx, r.JobID, auth.Write); err != nil {
		return job.Execution{}, err
	}
	if r.Request.Key != "" {
		r.Request.Digest = digest(r.Overlap)
	}
	e, err := s.store.EnqueueManual(ctx, store.Manual{
		JobID: r.JobID, TriggerID: r.TriggerID, Now: s.now, Overlap: r.Overlap, Request: r.Request,
	})
	return e, store.OrMissing(err, job.KindJob, r.JobID)
}

// Warnings tells what may surprise about a job's schedule from now on.
func (s *Service) Warnings(j job.Job) []schedule.Warning {
	times, err := compile(j)
	if err != nil {
		return nil // damaged in the store: the next update says why
	}
	return times.Warnings(s.now())
}

// load reads a job and checks the caller's access to it.
func (s *Service) load(ctx context.Context, id int64, access auth.Access) (job.Job, error) {
	return auth.Load(ctx, s.auth, job.KindJob, id, access, s.store.Job, func(j job.Job) int64 { return j.InstanceID })
}

func (s *Service) checkInstance(ctx context.Context, id int64, access auth.Access) error {
	return s.auth.Instance(ctx, id, true, access, job.KindInstance.Missing(id))
}

func checkETag(j job.Job, etag string) error {
	if etag != "" && etag != j.ETag() {
		return &job.AbortedError{Message: "the job was changed since it was read: read it again and repeat the change"}
	}
	return nil
}

func compile(j job.Job) (*schedule.Schedule, error) {
	return schedule.Compile(j.Schedule, j.ID)
}
