package executions

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Watch asks for the changes of executions.
type Watch struct {
	InstanceID int64
	// JobID, unless 0, leaves out those of other jobs.
	JobID int64
	// Cursor of the last change that was read; empty begins with what has not
	// ended.
	Cursor string
}

// Change is an execution that changed, as it is now.
type Change struct {
	Execution job.Execution
	// Cursor goes on after this change.
	Cursor string
}

// Watch yields the executions of an instance that have not ended, and then
// each of them again whenever it changes, until ctx ends. With a cursor it
// yields in between what ended since, so that nothing is missed; some comes
// again, and whoever always leaves early comes round to all of it. A state that
// lasted for less than a poll may be left out, the last one never is. An execution that was claimed ahead of its time is told when it is
// due.
//
// After an error nothing follows. A reader that is too slow gets a
// *job.ExhaustedError.
func (s *Service) Watch(ctx context.Context, w Watch) (iter.Seq2[Change, error], error) {
	if err := s.mayWatch(ctx, w); err != nil {
		return nil, err
	}
	var from *position
	if w.Cursor != "" {
		parsed, err := parsePosition(w.Cursor, w.InstanceID, w.JobID)
		if err != nil {
			return nil, err
		}
		from = &parsed
	}
	return func(yield func(Change, error) bool) {
		// The feed is joined before the present is read: what changes in
		// between comes twice.
		reader := s.feed.join(w.InstanceID, w.JobID)
		defer s.feed.leave(reader)
		err := s.present(ctx, reader, from, yield)
		for err == nil {
			var changes []Change
			if changes, err = reader.next(ctx); err == nil {
				err = yieldAll(yield, changes)
			}
		}
		if !errors.Is(err, errLeft) {
			yield(Change{}, err)
		}
	}, nil
}

// errLeft says that the reader wants no more.
var errLeft = errors.New("the reader left")

func yieldAll(yield func(Change, error) bool, changes []Change) error {
	for _, change := range changes {
		if !yield(change, nil) {
			return errLeft
		}
	}
	return nil
}

func (s *Service) mayWatch(ctx context.Context, w Watch) error {
	if err := s.mayRead(ctx, w.InstanceID); err != nil || w.JobID == 0 {
		return err
	}
	instance, err := s.store.InstanceOf(ctx, job.KindJob, w.JobID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("find the instance of job %d: %w", w.JobID, err)
	}
	if err != nil || instance != w.InstanceID {
		return job.KindJob.Missing(w.JobID)
	}
	return nil
}
