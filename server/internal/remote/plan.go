package remote

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"

	"github.com/pointscene/carillon/server/internal/job"
)

// maxHeld bounds how many changes, and how many deletions, a plan holds with
// all that the library knows of the files. Beyond it the changes are found
// again when they are made, and of deletions only the paths are kept.
const maxHeld = 20_000

// plan is what a sync is going to do. It holds what differs, and only counts
// of what does not.
type plan struct {
	found, files                   int64 // files at the source, at the destination
	equal                          int64
	copies, updates, gone, clashes job.PlanPart
	digest                         digest
	changes                        []change
	// first are files that stand where the source has a folder, or in a folder
	// where the source has a file; they go before anything is copied.
	first, deletes []fs.Object
	// deletePaths are further deletes, beyond maxHeld.
	deletePaths []string
	// firstDirs and dirs are folders that the source does not have.
	firstDirs, dirs []string
	// events are the files that can't be synced.
	events []job.FileRecord
	// noDest is set when the destination's folder does not exist yet.
	noDest bool
	root   Root
	// overflow says that there are more changes than held.
	overflow bool
}

// change is a file to copy (dst is nil), to update, or whose time may only
// have to be set (touch).
type change struct {
	src, dst fs.Object
	touch    bool
	// twin is set where another new name differs by case only, and the destination
	// may take the two for one.
	twin bool
}

func (c change) action() job.FileAction {
	if c.dst != nil {
		return job.FileUpdate
	}
	return job.FileCopy
}

func (p *plan) deletions() int64 { return p.gone.Files }

// summary is the plan for people.
func (p *plan) summary(dest string) job.Plan {
	return job.Plan{
		Remote: dest, Digest: p.digest.String(), Copy: p.copies, Update: p.updates, Delete: p.gone, Conflicts: p.clashes,
		Found: p.found, Unchanged: p.equal,
	}
}

// incomplete is the summary of a plan whose time ran out; any other end of the
// session is its error.
func (p *plan) incomplete(dest string, ended error) (job.Plan, error) {
	if !errors.Is(ended, context.DeadlineExceeded) {
		return job.Plan{}, ended
	}
	s := p.summary(dest)
	s.Digest, s.Incomplete = "", true
	return s, nil
}

// walkMode says what a walk keeps.
type walkMode int

const (
	// walkCount keeps counts and samples.
	walkCount walkMode = iota
	// walkHold keeps the changes as well, up to maxHeld.
	walkHold
	// walkStream hands each change on as it is found.
	walkStream
)

// planner compares the two sides folder by folder, several at a time.
type planner struct {
	*engine
	mode walkMode
	// to takes the changes of a walkStream.
	to chan<- change
	// told says that a plan was made before, which has told everything else.
	told bool
	// compareIn is the context of comparisons: unless this is a stream, one
	// under which the library changes nothing.
	compareIn context.Context
	window    time.Duration
	// walking and comparing bound how much is done at a time.
	walking, comparing *errgroup.Group

	mu   sync.Mutex
	plan plan
}

// pair is a folder to compare; nil stands for a side that does not have it.
// The two names can differ in case or in Unicode's normal form.
type pair struct {
	src, dst *string
	// inTheWay is set in folders that stand where the source has a file.
	inTheWay bool
	// twin is set where another new folder's name differs by case only.
	twin bool
}

// walk lists and compares both sides without changing either. The plan is
// never nil.
func (e *engine) walk(mode walkMode) (*plan, error) {
	p := &planner{engine: e, mode: mode}
	return p.run(e.ctx)
}

func (p *planner) run(ctx context.Context) (*plan, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.window, p.comparing = fs.GetModifyWindow(ctx, p.src, p.dst), &errgroup.Group{}
	p.plan.root = p.Dest.Root()
	p.compareIn = ctx
	if p.mode != walkStream {
		var ci *fs.ConfigInfo
		p.compareIn, ci = fs.AddConfig(ctx)
		ci.DryRun = true
	}
	p.walking, ctx = errgroup.WithContext(ctx)
	p.walking.SetLimit(fs.GetConfig(ctx).Checkers)
	p.comparing.SetLimit(fs.GetConfig(ctx).Checkers)
	top := ""
	p.walking.Go(func() error { return p.folder(ctx, pair{src: &top, dst: &top}) })
	err := p.walking.Wait()
	if err != nil {
		cancel()
	}
	_ = p.comparing.Wait() // comparing has no errors: what can't be compared is copied
	if ended := p.ended(); ended != nil {
		return &p.plan, ended
	}
	return &p.plan, err
}

// folder compares one folder and then those in it.
func (p *planner) folder(ctx context.Context, f pair) error {
	src, dst, err := p.listBoth(ctx, f)
	if err != nil {
		return err
	}
	m, err := p.match(f, src, dst)
	if err != nil {
		return &stepError{p.Dest, "look for a name at", err}
	}
	p.add(m)
	if p.mode == walkStream {
		if err := p.begin(ctx, f, m); err != nil {
			return err
		}
	}
	for _, c := range m.compare {
		p.comparing.Go(func() error { p.check(c); return nil })
	}
	for _, next := range m.next {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p.walking.TryGo(func() error { return p.folder(ctx, next) }) {
			continue
		}
		if err := p.folder(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// begin hands on what one folder gave.
func (p *planner) begin(ctx context.Context, f pair, m *matched) error {
	if *cmp.Or(f.src, f.dst) == "" && p.plan.noDest {
		if err := p.makeDest(); err != nil {
			return err
		}
	}
	if !p.told {
		for _, ev := range m.events {
			p.tell(ev)
		}
	}
	for _, c := range m.create {
		if err := p.send(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) send(ctx context.Context, c change) error {
	select {
	case p.to <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *planner) listBoth(ctx context.Context, f pair) (src, dst *listing, err error) {
	src, dst = &listing{}, &listing{}
	var srcErr, dstErr error
	var both sync.WaitGroup
	if f.src != nil {
		both.Go(func() {
			srcErr = p.again(ctx, func() (err error) { src, err = listWhole(ctx, p.src, p.filter, *f.src); return err })
		})
	}
	if f.dst != nil {
		dstErr = p.again(ctx, func() (err error) { dst, err = list(ctx, p.dst, p.filter, *f.dst); return err })
	}
	both.Wait()
	switch {
	case errors.Is(srcErr, fs.ErrorDirNotFound) && *f.src == "":
		return nil, nil, failure(ReasonSourceMissing, "%s does not exist; nothing was changed", p.Source)
	case srcErr != nil:
		return nil, nil, &stepError{p.Source, "list " + quoted(*f.src) + "of", srcErr}
	case errors.Is(dstErr, fs.ErrorDirNotFound):
		if *f.dst == "" {
			p.plan.noDest = true // before any other folder is listed
		}
		return src, &listing{}, nil
	case dstErr != nil:
		return nil, nil, &stepError{p.Dest, "list " + quoted(*f.dst) + "of", dstErr}
	}
	if f.dst != nil && *f.dst == "" {
		p.plan.root.ID = dst.parentID()
	}
	return src, dst, nil
}

// add takes what one folder gave into the plan.
func (p *planner) add(m *matched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan.found += m.found
	p.plan.files += m.files
	for _, c := range m.create {
		p.note(c)
	}
	for _, file := range m.first {
		p.stillThere(file.Remote())
		p.plan.digest.add(p.compareIn, "first", file)
		add(&p.plan.gone, file)
	}
	for _, file := range m.deletes {
		p.stillThere(file.Remote())
		p.plan.digest.add(p.compareIn, "delete", file)
		add(&p.plan.gone, file)
	}
	if n := len(m.first) + len(m.deletes); n > 0 && !p.told {
		p.expect(int64(n), 0)
	}
	if p.mode != walkHold {
		return
	}
	p.plan.events = append(p.plan.events, m.events...)
	p.plan.first = append(p.plan.first, m.first...)
	p.plan.firstDirs = append(p.plan.firstDirs, m.firstDirs...)
	p.plan.dirs = append(p.plan.dirs, m.dirs...)
	held := min(len(m.deletes), max(0, p.held-len(p.plan.deletes)))
	p.plan.deletes = append(p.plan.deletes, m.deletes[:held]...)
	for _, file := range m.deletes[held:] {
		p.plan.deletePaths = append(p.plan.deletePaths, file.Remote())
	}
}

// note takes a change into the plan; p.mu is held.
func (p *planner) note(c change) {
	p.stillThere(c.src.Remote())
	switch {
	case c.touch:
	case c.dst == nil:
		p.plan.digest.add(p.compareIn, "copy", c.src)
		add(&p.plan.copies, c.src)
	default:
		p.plan.digest.add(p.compareIn, "update", c.src)
		add(&p.plan.updates, c.src)
	}
	if !c.touch && !p.told {
		p.expect(1, max(c.src.Size(), 0))
	}
	if p.mode != walkHold {
		return
	}
	if len(p.plan.changes) == p.held {
		p.plan.changes, p.plan.overflow = nil, true
	}
	if !p.plan.overflow {
		p.plan.changes = append(p.plan.changes, c)
	}
}

// check finds out whether a file that both sides have must be copied.
func (p *planner) check(c change) {
	if p.compareIn.Err() != nil {
		return
	}
	switch {
	case operations.NeedTransfer(p.compareIn, c.dst, c.src):
	case p.mode != walkStream && p.timeDiffers(c):
		// The contents are equal. Whether the time can be set without copying
		// is known when it is tried.
		c.touch = true
	default:
		p.settle(c.src.Remote())
		p.mu.Lock()
		p.plan.equal++
		p.mu.Unlock()
		if p.mode == walkStream && !p.told {
			p.leave(1)
		}
		return
	}
	p.mu.Lock()
	p.note(c)
	p.mu.Unlock()
	if p.mode == walkStream {
		_ = p.send(p.compareIn, c) // it fails when the sync has ended
	}
}

func (p *planner) timeDiffers(c change) bool {
	if p.window == fs.ModTimeNotSupported || fs.GetConfig(p.compareIn).CheckSum {
		return false
	}
	apart := c.src.ModTime(p.compareIn).Sub(c.dst.ModTime(p.compareIn))
	return apart.Abs() >= p.window
}

func quoted(dir string) string {
	if dir == "" {
		return ""
	}
	return `"` + dir + `" `
}
