package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"

	"github.com/pointscene/carillon/server/internal/job"
)

// A bisync compares each side with what it was after the last one: the
// listing, which the caller keeps. What changed on one side goes to the other;
// a change beats a deletion; what changed on both sides in different ways is a
// conflict, of which both versions stay on both sides. Without a listing
// nothing is deleted.
//
// Both trees are held in memory.

// side is one of the two remotes.
type side struct {
	remote *Remote
	fs     fs.Fs
	files  map[string]fs.Object // by key
}

// flow is a change of a bisync.
type flow struct {
	key      string
	action   job.FileAction
	from, to *side
	// src is nil for a deletion; dst for a copy.
	src, dst fs.Object
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

	flows  []flow
	events []job.FileRecord
	// bare are names of what has no content: neither side of it is touched.
	bare  map[string]bool
	equal []string
	found int64
	// gone counts deletions by side.
	gone map[*side]int64
	plan plan

	mu    sync.Mutex
	after *history
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
	e.leave(int64(len(t.equal)))
	for _, r := range t.events {
		e.tell(r)
	}
	for _, f := range t.flows {
		e.expect(1, max(f.size(), 0))
		if e.DryRun {
			e.tell(job.FileRecord{Action: f.action, State: job.FilePlanned, Path: f.name(), Size: f.size()})
		}
	}
	if e.DryRun {
		return nil
	}
	err = t.apply()
	// What is known is remembered however it ended: what is not in the listing
	// is compared as if for the first time, which deletes nothing.
	if e.listing, _ = t.after.bytes(); err != nil {
		return err
	}
	return nil
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
			event(job.FileSkipped, file.Remote(), file.Size(), ReasonNotAFile, "it has no content of its own that could be copied")
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

// guard says why a bisync looks like an accident, nil when it does not.
func (t *twoWay) guard() *job.Failure {
	for _, s := range []*side{t.a, t.b} {
		if len(s.files) == 0 && t.before.len() > 0 && !t.AllowEmptySource {
			return failure(ReasonSideEmpty, "%s has no files, and had %d after the last sync, so everything on the other side would be deleted; nothing was changed",
				s.remote, t.before.len())
		}
	}
	for _, s := range []*side{t.a, t.b} {
		if n, of := t.gone[s], int64(len(s.files)); !t.MaxDelete.allows(n, of) {
			return failure(ReasonMaxDelete, "the sync would delete %d of %d files at %s, maxDelete allows %s; nothing was changed", n, of, s.remote, t.MaxDelete)
		}
	}
	return nil
}

// apply makes the changes, deletions last and only if all else went well.
func (t *twoWay) apply() error {
	// The library's own limit, should the plan be wrong.
	ctx, ci := fs.AddConfig(t.ctx)
	ci.MaxDelete = t.plan.deletions() + t.plan.clashes.Files // a version set aside may be copied and deleted
	t.ctx = ctx
	if len(t.b.files) == 0 {
		if err := t.makeDest(); err != nil {
			return err
		}
	}
	isDelete := func(f flow) bool { return f.action == job.FileDelete }
	changes := slices.DeleteFunc(slices.Clone(t.flows), isDelete)
	deletes := slices.DeleteFunc(t.flows, func(f flow) bool { return !isDelete(f) })
	if err := t.each(changes, fs.GetConfig(t.ctx).Transfers, t.carry); err != nil {
		return err
	}
	if t.counts().Failed > 0 {
		if len(deletes) > 0 {
			t.log.WarnContext(t.ctx, "nothing is deleted because files failed", "kept", len(deletes))
		}
		for _, f := range deletes {
			t.keep(f.key)
		}
		return nil
	}
	if err := t.each(deletes, fs.GetConfig(t.ctx).Checkers, t.remove); err != nil {
		return err
	}
	for _, s := range []*side{t.a, t.b} {
		dirs := map[string]bool{}
		for _, f := range deletes {
			for dir := path.Dir(f.dst.Remote()); f.to == s && dir != "."; dir = path.Dir(dir) {
				dirs[dir] = true
			}
		}
		t.removeDirs(s.fs, slices.Collect(maps.Keys(dirs)))
	}
	return t.ended()
}

// each does something with every change, announced before.
func (t *twoWay) each(flows []flow, atOnce int, do func(flow) error) error {
	group := errgroup.Group{}
	group.SetLimit(atOnce)
	for batch := range slices.Chunk(flows, announceBatch) {
		records := make([]job.FileRecord, len(batch))
		for i, f := range batch {
			records[i] = job.FileRecord{Remote: t.Dest.String(), Action: f.action, Path: f.name(), Size: f.size()}
		}
		if t.Announce != nil {
			if err := t.Announce(t.ctx, records); err != nil {
				return errors.Join(err, group.Wait())
			}
		}
		for _, f := range batch {
			if t.ctx.Err() != nil {
				break
			}
			group.Go(func() error {
				if err := t.try(f, do); err != nil {
					t.keep(f.key)
					t.failed(f.action, f.name(), f.size(), err)
				}
				return nil
			})
		}
	}
	_ = group.Wait() // it has no errors: they are told file by file
	return t.ended()
}

// try does something with a change, and tries again what failed; a conflict
// that was not told is mended by the next sync.
func (t *twoWay) try(f flow, do func(flow) error) error {
	if f.action == job.FileConflict {
		return do(f)
	}
	err := t.again(t.ctx, func() error { return do(f) })
	if err == nil {
		accounting.Stats(t.ctx).ResetErrors() // of earlier tries; what failed is counted
	}
	return err
}

// keep remembers of a name what was known before.
func (t *twoWay) keep(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.before.get(key); ok {
		t.after.set(key, last.A, last.B)
	}
}

// carry copies, updates, or keeps both versions of a file.
func (t *twoWay) carry(f flow) error {
	if f.action == job.FileConflict {
		return t.keepBoth(f)
	}
	made, err := operations.Copy(t.ctx, f.to.fs, f.dst, f.src.Remote(), f.src)
	if err != nil {
		return err
	}
	t.remember(f.key, f.to, f.src, made)
	t.tell(job.FileRecord{Action: f.action, State: job.FileDone, Path: f.name(), Size: f.size(), Message: "to " + f.to.remote.String()})
	return nil
}

// remember notes that made, at side to, is equal to src.
func (t *twoWay) remember(key string, to *side, src, made fs.Object) {
	a, b := version(t.dry, src), version(t.dry, made)
	if to == t.a {
		a, b = b, a
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after.set(key, a, b)
}

// keepBoth gives b's version a name of its own, on both sides, and a's version
// to b. No step loses a version, so that a failure is mended by the next sync.
func (t *twoWay) keepBoth(f flow) error {
	aside := conflictName(f.dst.Remote(), time.Now())
	moved, err := operations.Move(t.ctx, t.b.fs, nil, aside, f.dst)
	if err != nil {
		return err
	}
	made, err := operations.Copy(t.ctx, t.a.fs, nil, aside, moved)
	if err != nil {
		return err
	}
	t.remember(t.key(aside), t.a, moved, made)
	if made, err = operations.Copy(t.ctx, t.b.fs, nil, f.src.Remote(), f.src); err != nil {
		return err
	}
	t.remember(f.key, t.b, f.src, made)
	t.log.WarnContext(t.ctx, "changed on both sides: both versions are kept", "path", f.name(), "other", aside)
	t.tell(job.FileRecord{Action: job.FileConflict, State: job.FileDone, Path: f.name(), Size: f.size(), Reason: ReasonConflict,
		Message: fmt.Sprintf("changed on both sides: the version of %s is now %s", t.Dest, aside)})
	return nil
}

// conflictName is report.conflict-20260102T150405Z.pdf for report.pdf.
func conflictName(name string, at time.Time) string {
	ext := path.Ext(name)
	if ext == path.Base(name) {
		ext = "" // .profile has none
	}
	return strings.TrimSuffix(name, ext) + ".conflict-" + at.UTC().Format("20060102T150405Z") + ext
}

// remove deletes what is gone on the other side.
func (t *twoWay) remove(f flow) error {
	if err := operations.DeleteFile(t.ctx, f.dst); err != nil {
		return err
	}
	t.tell(job.FileRecord{Action: job.FileDelete, State: job.FileDone, Path: f.name(), Size: f.size(), Message: "at " + f.to.remote.String()})
	return nil
}
