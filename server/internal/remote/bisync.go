package remote

import (
	"context"
	"slices"
	"sync"

	"github.com/rclone/rclone/fs"
	"golang.org/x/sync/errgroup"

	"github.com/pointscene/carillon/server/internal/job"
)

// A bisync compares each side with what it was after the last one: the
// listing, which the caller keeps. What changed on one side goes to the other;
// a change beats a deletion; what changed on both sides in different ways is a
// conflict, of which both versions stay on both sides. Without a listing
// nothing is deleted.
//
// Both trees are walked folder by folder. Held are the listing, packed, and what
// is to be changed, up to a bound: nothing of it can be found again later, when
// one side has some of the changes already.

// flowsHeld is how many times as many changes as a plan a bisync holds, half a
// million in all.
const flowsHeld = 25

// side is one of the two remotes.
type side struct {
	remote *Remote
	fs     fs.Fs
	// files counts them.
	files int64
}

// flow is a change of a bisync.
type flow struct {
	key      string
	action   job.FileAction
	from, to *side
	// src is nil for a deletion; dst for a copy.
	src, dst fs.Object
	// twin is set where another name differs by case only.
	twin bool
}

// name is the path that the change is told by.
func (f flow) name() string {
	if f.src != nil {
		return f.src.Remote()
	}
	return f.dst.Remote()
}

func (f flow) size() int64 {
	if f.src != nil {
		return f.src.Size()
	}
	return f.dst.Size()
}

// twoWay is one bisync.
type twoWay struct {
	*engine
	a, b   *side
	before *history
	// dry is a context under which the library changes nothing.
	dry context.Context
	// walking and comparing bound how much is done at a time.
	walking, comparing *errgroup.Group

	mu sync.Mutex
	// changes are to be made before deletes; what is done is let go.
	changes, deletes []flow
	events           []job.FileRecord
	found, equal     int64
	// gone counts deletions by side.
	gone map[*side]int64
	plan plan

	after *historyWriter
}

// bisync carries changes both ways.
func (e *engine) bisync() error {
	t, err := e.compareBoth()
	if err != nil {
		return err
	}
	if err := e.pass(t.plan.summary(e.Dest.String()), t.guard()); err != nil {
		return err
	}
	e.mu.Lock()
	e.result.Found = t.found
	e.mu.Unlock()
	e.leave(t.equal)
	for _, r := range t.events {
		e.tell(r)
	}
	for _, flows := range [][]flow{t.changes, t.deletes} {
		for _, f := range flows {
			e.expect(1, max(f.size(), 0))
			if e.DryRun {
				e.tell(job.FileRecord{Action: f.action, State: job.FilePlanned, Path: f.name(), Size: f.size()})
			}
		}
	}
	if e.DryRun {
		return nil
	}
	err = t.apply()
	// What was not begun is as it was, so that a deletion is not undone by the
	// next sync, and a change is no conflict.
	for _, f := range slices.Concat(t.changes, t.deletes) {
		if f.src != nil || f.dst != nil {
			t.after.keep(f.key)
		}
	}
	// What is known is remembered however it ended: what is not in the listing
	// is compared as if for the first time, which deletes nothing.
	e.listing = t.after.bytes()
	return err
}

// planBisync tells what a bisync would do.
func (e *engine) planBisync() (job.Plan, error) {
	t, err := e.compareBoth()
	if ended := e.ended(); ended != nil {
		return (&plan{}).incomplete(e.Dest.String(), ended)
	}
	if err != nil {
		return job.Plan{}, e.verdict(err)
	}
	p := t.plan.summary(e.Dest.String())
	p.Guard = t.guard()
	return p, nil
}

// guard says why a bisync looks like an accident, nil when it does not.
func (t *twoWay) guard() *job.Failure {
	for _, s := range []*side{t.a, t.b} {
		if s.files == 0 && t.before.files > 0 && !t.AllowEmptySource {
			return failure(ReasonSideEmpty, "%s has no files, and had %d after the last sync, so everything on the other side would be deleted; nothing was changed",
				s.remote, t.before.files)
		}
	}
	for _, s := range []*side{t.a, t.b} {
		if n, of := t.gone[s], s.files; !t.MaxDelete.allows(n, of) {
			return failure(ReasonMaxDelete, "the sync would delete %d of %d files at %s, maxDelete allows %s; nothing was changed", n, of, s.remote, t.MaxDelete)
		}
	}
	return nil
}
