package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"

	"github.com/pointscene/carillon/server/internal/job"
)

// compareBoth lists both sides and decides what is to be done.
func (e *engine) compareBoth() (*twoWay, error) {
	t := &twoWay{engine: e, a: &side{remote: e.Source, fs: e.src}, b: &side{remote: e.Dest, fs: e.dst}, gone: map[*side]int64{}, bare: map[string]bool{}, after: newHistory()}
	var err error
	if t.before, err = readHistory(e.Listing); err != nil {
		return nil, fmt.Errorf("read the listing of the last bisync: %w", err)
	}
	var ci *fs.ConfigInfo
	t.dry, ci = fs.AddConfig(e.ctx)
	ci.DryRun = true
	group := errgroup.Group{}
	for _, s := range []*side{t.a, t.b} {
		group.Go(func() error { return t.list(s) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if ended := e.ended(); ended != nil {
		return nil, ended
	}
	t.decideAll()
	return t, e.ended()
}

// list reads a whole side. A folder that does not exist yet is empty, unless
// the sides were synced before.
func (t *twoWay) list(s *side) error {
	s.files = map[string]fs.Object{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(t.ctx)
	group.SetLimit(fs.GetConfig(t.ctx).Checkers)
	var folder func(dir string) error
	folder = func(dir string) error {
		var l *listing
		err := t.again(ctx, func() (err error) { l, err = list(ctx, s.fs, t.filter, dir); return err })
		switch {
		case errors.Is(err, fs.ErrorDirNotFound) && dir == "" && s == t.b:
			return nil
		case errors.Is(err, fs.ErrorDirNotFound) && dir == "":
			return failure(ReasonSourceMissing, "%s does not exist; nothing was changed", s.remote)
		case errors.Is(err, fs.ErrorDirNotFound):
			return nil // it went meanwhile
		case err != nil:
			return &stepError{s.remote, "list " + quoted(dir) + "of", err}
		}
		mu.Lock()
		t.take(s, l)
		mu.Unlock()
		for _, next := range l.dirs {
			if !group.TryGo(func() error { return folder(next.Remote()) }) {
				if err := folder(next.Remote()); err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	}
	group.Go(func() error { return folder("") })
	return group.Wait()
}

// take adds one folder's files to a side.
func (t *twoWay) take(s *side, l *listing) {
	event := func(state job.FileState, path string, size int64, reason, message string) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.events = append(t.events, job.FileRecord{Action: job.FileCopy, State: state, Path: path, Size: size, Reason: reason, Message: s.remote.String() + ": " + message})
	}
	for _, name := range l.strangers {
		event(job.FileFailed, name, -1, ReasonBadName, "the remote gave a name that leads out of its folder")
	}
	for _, file := range l.files {
		key := t.key(file.Remote())
		switch {
		case !file.Storable():
			reason, why := noContent(t.ctx, file)
			event(job.FileSkipped, file.Remote(), file.Size(), reason, why)
			t.mu.Lock()
			t.bare[key] = true
			t.mu.Unlock()
		case s.files[key] != nil:
			event(job.FileSkipped, file.Remote(), file.Size(), ReasonSameName, "another file has the same name")
		default:
			s.files[key] = file
		}
	}
}

// key is what both sides take for the name.
func (t *twoWay) key(name string) string {
	name = norm.NFC.String(name)
	if t.src.Features().CaseInsensitive || t.dst.Features().CaseInsensitive {
		name = strings.ToLower(name)
	}
	return name
}

// decideAll decides about every name, several at a time since contents may
// have to be compared.
func (t *twoWay) decideAll() {
	keys := slices.Collect(maps.Keys(t.a.files))
	for key := range t.b.files {
		if t.a.files[key] == nil {
			keys = append(keys, key)
		}
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return t.bare[key] })
	for key := range t.bare {
		t.keep(key)
	}
	t.found = int64(len(keys))
	group := errgroup.Group{}
	group.SetLimit(fs.GetConfig(t.ctx).Checkers)
	for _, key := range keys {
		if t.ctx.Err() != nil {
			break
		}
		group.Go(func() error { t.decide(key); return nil })
	}
	_ = group.Wait()
	slices.SortFunc(t.flows, func(x, y flow) int { return strings.Compare(x.key, y.key) })
	slices.Sort(t.equal)
	for _, f := range t.flows {
		t.plan.note2(t.dry, f)
		if f.action == job.FileDelete {
			t.gone[f.to]++
		}
	}
	t.plan.found, t.plan.equal = t.found, int64(len(t.equal))
}

// note2 takes a change of a bisync into the plan.
func (p *plan) note2(ctx context.Context, f flow) {
	part := map[job.FileAction]*job.PlanPart{
		job.FileCopy: &p.copies, job.FileUpdate: &p.updates, job.FileDelete: &p.gone, job.FileConflict: &p.clashes,
	}[f.action]
	file := f.src
	if file == nil {
		file = f.dst
	}
	add(part, file)
	p.digest.add(ctx, string(f.action)+" at "+f.to.remote.String(), file)
}

// decide decides what becomes of one name.
func (t *twoWay) decide(key string) {
	a, b := t.a.files[key], t.b.files[key]
	last, synced := t.before.get(key)
	changedA := a != nil && (!synced || last.A != version(t.dry, a))
	changedB := b != nil && (!synced || last.B != version(t.dry, b))
	f := flow{key: key, from: t.a, to: t.b, src: a, dst: b}
	reverse := flow{key: key, from: t.b, to: t.a, src: b, dst: a}
	switch {
	case a != nil && b != nil && !changedA && !changedB:
		t.same(key, a, b)
		return
	case a != nil && b != nil && !operations.NeedTransfer(t.dry, b, a):
		t.same(key, a, b)
		return
	case a != nil && b != nil && changedA && changedB:
		f.action = job.FileConflict
	case a != nil && b != nil && changedA:
		f.action = job.FileUpdate
	case a != nil && b != nil:
		f, f.action = reverse, job.FileUpdate
	case a != nil && (!synced || changedA):
		f.action = job.FileCopy
	case b != nil && (!synced || changedB):
		f, f.action = reverse, job.FileCopy
	case a != nil: // gone at b, and the same at a since then
		f = flow{key: key, from: t.b, to: t.a, dst: a, action: job.FileDelete}
	default:
		f = flow{key: key, from: t.a, to: t.b, dst: b, action: job.FileDelete}
	}
	t.stillThere(f.name())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flows = append(t.flows, f)
}

// same notes that both sides are equal.
func (t *twoWay) same(key string, a, b fs.Object) {
	t.settle(a.Remote())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.equal = append(t.equal, key)
	t.after.set(key, version(t.dry, a), version(t.dry, b))
}
