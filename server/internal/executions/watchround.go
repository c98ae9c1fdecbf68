package executions

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// round tells the present of a watch: what has not ended, and with a position
// what ended since. It goes by ids, from the one that was told last up to the
// newest and then from the lowest up to it, and each change has a cursor of its
// own. So the next round goes on where a reader left, however early that was.
type round struct {
	reader *reader
	// since says that what ended is told, too.
	since bool
	// floor and told are those of the position so far.
	floor, told int64
	// settled is up to where nothing comes to be seen any more.
	settled int64
	// open are the executions that had not ended at the position or have not now,
	// ahead those of them that are not to be told yet.
	open  []int64
	ahead map[int64]bool
}

// present tells the present to a reader, whose feed has been joined before.
func (s *Service) present(ctx context.Context, reader *reader, from *position, yield func(Change, error) bool) error {
	start, err := reader.start(ctx)
	if err != nil {
		return err
	}
	marks, err := s.store.ActiveMarks(ctx, []int64{reader.instance})
	if err != nil {
		return fmt.Errorf("read the executions to watch: %w", err)
	}
	r := newRound(reader, start, from, marks)
	told := r.told
	if err := s.tell(ctx, r, told, math.MaxInt64, yield); err != nil {
		return err
	}
	return s.tell(ctx, r, 0, told, yield)
}

// newRound begins where a position is, else where the feed is.
func newRound(reader *reader, start position, from *position, marks []store.ExecutionMark) *round {
	at := start
	if from != nil {
		at = *from
	}
	r := &round{
		reader: reader, since: from != nil, floor: at.floor, told: at.told, settled: start.floor,
		open: slices.Concat(at.active, reader.idsOf(marks)), ahead: map[int64]bool{},
	}
	slices.Sort(r.open)
	r.open = slices.Compact(r.open)
	for _, m := range marks {
		if m.Ahead {
			r.ahead[m.ID] = true
		}
	}
	return r
}

// tell tells the executions with ids in (above, upTo]. When that begins at the
// floor, the floor goes with it.
func (s *Service) tell(ctx context.Context, r *round, above, upTo int64, yield func(Change, error) bool) error {
	for whole := above <= r.floor; above < upTo; {
		ids, until, err := s.ids(ctx, r, above, upTo)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(ids, s.feed.page) {
			list, err := s.store.ExecutionsByID(ctx, chunk)
			if err != nil {
				return fmt.Errorf("read watched executions: %w", err)
			}
			r.forget(chunk, list)
			for _, e := range r.reader.wanted(list) {
				if !yield(r.change(e, whole), nil) {
					return errLeft
				}
			}
		}
		above = until
	}
	return nil
}

// ids are the next ones to be told in (above, upTo], up to until.
func (s *Service) ids(ctx context.Context, r *round, above, upTo int64) (ids []int64, until int64, err error) {
	until = upTo
	if r.since {
		ended, err := s.store.EndedAbove(ctx, []int64{r.reader.instance}, max(above, r.floor), s.feed.page)
		if err != nil {
			return nil, 0, fmt.Errorf("read the executions that ended: %w", err)
		}
		if len(ended) == s.feed.page {
			until = min(upTo, ended[len(ended)-1].ID)
		}
		ids = r.reader.idsOf(ended)
	}
	ids = slices.DeleteFunc(append(ids, r.open...), func(id int64) bool { return id <= above || id > until || r.ahead[id] })
	slices.Sort(ids)
	return slices.Compact(ids), until, nil
}

// forget lets go of what is found nowhere: it was withdrawn or pruned.
func (r *round) forget(ids []int64, found []job.Execution) {
	there := make(map[int64]bool, len(found))
	for _, e := range found {
		there[e.ID] = true
	}
	for _, id := range ids {
		if !there[id] {
			r.end(id)
		}
	}
}

// end takes an execution from the open ones.
func (r *round) end(id int64) {
	if at, found := slices.BinarySearch(r.open, id); found {
		r.open = slices.Delete(r.open, at, at+1)
	}
}

// change is an execution, with the position of who has been told of it.
func (r *round) change(e job.Execution, whole bool) Change {
	if e.State.Ended() {
		r.end(e.ID)
	}
	r.told = e.ID
	if whole {
		r.floor = max(r.floor, min(e.ID, r.settled))
	}
	p := newPosition(r.reader.instance, r.reader.job, r.floor, r.open)
	p.told = r.told
	return Change{e, p.cursor()}
}
