package remote

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"
)

// plan is what a sync is going to do. It holds what differs, and only counts
// of what does not.
type plan struct {
	found, files int64 // files at the source, at the destination
	equal        int64
	changes      []change
	// first are files that stand where the source has a folder, or in a folder
	// where the source has a file; they go before anything is copied.
	first, deletes []fs.Object
	// firstDirs and dirs are folders that the source does not have.
	firstDirs, dirs []string
	// events are the files that can't be synced.
	events []FileEvent
	// noDest is set when the destination's folder does not exist yet.
	noDest bool
}

// change is a file to copy (dst is nil), to update, or whose time may only
// have to be set (touch).
type change struct {
	src, dst fs.Object
	touch    bool
}

func (p *plan) deletions() int64 { return int64(len(p.first) + len(p.deletes)) }

// planner compares the two sides folder by folder, several at a time.
type planner struct {
	*engine
	// dry is a context under which the library changes nothing.
	dry    context.Context
	window time.Duration
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
}

// plan lists and compares both sides without changing either.
func (e *engine) plan() (*plan, error) {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	p := &planner{engine: e, window: fs.GetModifyWindow(ctx, e.src, e.dst), comparing: &errgroup.Group{}}
	var ci *fs.ConfigInfo
	p.dry, ci = fs.AddConfig(ctx)
	ci.DryRun = true
	p.walking, ctx = errgroup.WithContext(ctx)
	p.walking.SetLimit(checkers)
	p.comparing.SetLimit(checkers)
	top := ""
	p.walking.Go(func() error { return p.folder(ctx, pair{src: &top, dst: &top}) })
	err := p.walking.Wait()
	if err != nil {
		cancel()
	}
	_ = p.comparing.Wait() // comparing has no errors: what can't be compared is copied
	if ended := e.ended(); ended != nil {
		return nil, ended
	}
	return &p.plan, err
}

// folder compares one folder and then those in it.
func (p *planner) folder(ctx context.Context, f pair) error {
	src, dst, err := p.listBoth(ctx, f)
	if err != nil {
		return err
	}
	m := p.match(f, src, dst)
	p.add(m)
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

func (p *planner) listBoth(ctx context.Context, f pair) (src, dst *listing, err error) {
	src, dst = &listing{}, &listing{}
	var srcErr, dstErr error
	var listing sync.WaitGroup
	if f.src != nil {
		listing.Go(func() { src, srcErr = list(ctx, p.src, p.filter, *f.src) })
	}
	if f.dst != nil {
		dst, dstErr = list(ctx, p.dst, p.filter, *f.dst)
	}
	listing.Wait()
	switch {
	case errors.Is(srcErr, fs.ErrorDirNotFound) && *f.src == "":
		return nil, nil, failure(ReasonSourceMissing, "%s does not exist; nothing was changed", p.Source)
	case srcErr != nil:
		return nil, nil, &stepError{p.Source, "list " + quoted(*f.src) + "of", srcErr}
	case errors.Is(dstErr, fs.ErrorDirNotFound):
		if *f.dst == "" {
			p.plan.noDest = true
		}
		return src, emptyListing, nil
	case dstErr != nil:
		return nil, nil, &stepError{p.Dest, "list " + quoted(*f.dst) + "of", dstErr}
	}
	return src, dst, nil
}

// add takes what one folder gave into the plan.
func (p *planner) add(m *matched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan.found += m.found
	p.plan.files += m.files
	p.plan.changes = append(p.plan.changes, m.create...)
	p.plan.events = append(p.plan.events, m.events...)
	p.plan.first = append(p.plan.first, m.first...)
	p.plan.firstDirs = append(p.plan.firstDirs, m.firstDirs...)
	p.plan.deletes = append(p.plan.deletes, m.deletes...)
	p.plan.dirs = append(p.plan.dirs, m.dirs...)
}

// check finds out whether a file that both sides have must be copied.
func (p *planner) check(c change) {
	if p.dry.Err() != nil {
		return
	}
	switch {
	case operations.NeedTransfer(p.dry, c.dst, c.src):
	case p.timeDiffers(c):
		// The contents are equal. Whether the time can be set without copying
		// is known when it is tried.
		c.touch = true
	default:
		p.mu.Lock()
		p.plan.equal++
		p.mu.Unlock()
		return
	}
	p.mu.Lock()
	p.plan.changes = append(p.plan.changes, c)
	p.mu.Unlock()
}

func (p *planner) timeDiffers(c change) bool {
	if p.window == fs.ModTimeNotSupported || fs.GetConfig(p.dry).CheckSum {
		return false
	}
	apart := c.src.ModTime(p.dry).Sub(c.dst.ModTime(p.dry))
	return apart.Abs() >= p.window
}

func quoted(dir string) string {
	if dir == "" {
		return ""
	}
	return `"` + dir + `" `
}
