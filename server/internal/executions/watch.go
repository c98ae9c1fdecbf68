package executions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

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
// again. A state that lasted for less than a poll may be left out, the last one
// never is. An execution that was claimed ahead of its time is told when it is
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

// present yields what has not ended, and with a position what ended since.
func (s *Service) present(ctx context.Context, reader *reader, from *position, yield func(Change, error) bool) error {
	start, err := reader.start(ctx)
	if err != nil {
		return err
	}
	// Whoever leaves here goes on where this watch began.
	at, ids := start, []int64(nil)
	if from != nil {
		at, ids = *from, slices.Clone(from.active)
	}
	marks, err := s.store.ActiveMarks(ctx, []int64{reader.instance})
	if err != nil {
		return fmt.Errorf("read the executions to watch: %w", err)
	}
	active := reader.idsOf(marks)
	ids = append(ids, active...)
	slices.Sort(ids)
	for chunk := range slices.Chunk(slices.Compact(ids), s.feed.page) {
		if err := s.tell(ctx, reader, chunk, at.cursor(), at.cursor(), yield); err != nil {
			return err
		}
	}
	if from == nil {
		return nil
	}
	return s.since(ctx, reader, at, start.floor, active, yield)
}

// since yields what ended after a position. active are the executions that
// have not ended, and nothing up to settled comes to be seen any more.
func (s *Service) since(ctx context.Context, reader *reader, at position, settled int64, active []int64, yield func(Change, error) bool) error {
	for above := at.floor; ; {
		marks, err := s.store.EndedAbove(ctx, []int64{reader.instance}, above, s.feed.page)
		if err != nil {
			return fmt.Errorf("read the executions that ended: %w", err)
		}
		if len(marks) == 0 {
			return nil
		}
		above = marks[len(marks)-1].ID
		next := newPosition(reader.instance, reader.job, max(at.floor, min(above, settled)), active)
		if err := s.tell(ctx, reader, reader.idsOf(marks), at.cursor(), next.cursor(), yield); err != nil {
			return err
		}
		at = next
	}
}

// tell yields executions by their ids. Those before the last have the cursor
// before, so that whoever leaves between them misses none.
func (s *Service) tell(ctx context.Context, reader *reader, ids []int64, before, after string, yield func(Change, error) bool) error {
	list, err := s.store.ExecutionsByID(ctx, ids)
	if err != nil {
		return fmt.Errorf("read watched executions: %w", err)
	}
	return yieldAll(yield, reader.changes(list, before, after))
}
