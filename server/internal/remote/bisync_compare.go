package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"

	"github.com/pointscene/carillon/server/internal/job"
)

// compareBoth lists both sides, folder by folder, and decides what is to be
// done. Only what differs is held.
func (e *engine) compareBoth() (*twoWay, error) {
	t := &twoWay{engine: e, a: &side{remote: e.Source, fs: e.src}, b: &side{remote: e.Dest, fs: e.dst}, gone: map[*side]int64{}}
	var err error
	if t.before, err = readHistory(e.Listing); err != nil {
		return nil, fmt.Errorf("read the listing of the last bisync: %w", err)
	}
	t.after = newHistory(t.before)
	var ci *fs.ConfigInfo
	t.dry, ci = fs.AddConfig(e.ctx)
	ci.DryRun = true
	walking, ctx := errgroup.WithContext(e.ctx)
	t.walking, t.comparing = walking, &errgroup.Group{}
	t.walking.SetLimit(fs.GetConfig(e.ctx).Checkers)
	t.comparing.SetLimit(fs.GetConfig(e.ctx).Checkers)
	t.walking.Go(func() error { return t.folder(ctx, twoFolders{a: []string{""}, b: []string{""}}) })
	err = t.walking.Wait()
	_ = t.comparing.Wait() // it has no errors: what can't be compared has changed
	if ended := e.ended(); ended != nil {
		return nil, ended
	}
	if err != nil {
		return nil, err
	}
	if t.tooMany() {
		return nil, failure(ReasonTooManyChanges, "%s and %s differ in more than %d files, too many for a bisync at once; nothing was changed. Sync them by copy first, either way: what is equal then needs no change",
			t.Source, t.Dest, flowsHeld*t.held)
	}
	t.sum()
	return t, nil
}

// tooMany reports whether there are more changes than are held.
func (t *twoWay) tooMany() bool { return len(t.changes)+len(t.deletes) > flowsHeld*t.held }

// sum takes the changes, in the order of their names, into the plan.
func (t *twoWay) sum() {
	for _, flows := range [][]flow{t.changes, t.deletes} {
		slices.SortFunc(flows, func(x, y flow) int { return strings.Compare(x.key, y.key) })
		for _, f := range flows {
			t.plan.note2(t.dry, f)
		}
	}
	for _, f := range t.deletes {
		t.gone[f.to]++
	}
	t.plan.found, t.plan.equal = t.found, t.equal
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

// twoFolders is a folder of both sides: where names differ by case only, or by
// Unicode's normal form, a side may have several. key is what all of them are
// for both sides.
type twoFolders struct {
	key  string
	a, b []string
	// twin is set where another folder's name differs by case only.
	twin bool
}

// content is what one side has in a folder, by key.
type content struct {
	side  *side
	files map[string]fs.Object
	dirs  map[string][]string
	// bare are names of what has no content: neither side of it is touched.
	bare   map[string]bool
	events []job.FileRecord
	// hidden are folders that the filter leaves out.
	hidden map[string]bool
	// vanished is a folder that was there a moment ago.
	vanished string
}

// folder compares one folder and then those in it.
func (t *twoWay) folder(ctx context.Context, f twoFolders) error {
	var a, b *content
	var errA, errB error
	var both sync.WaitGroup
	both.Go(func() { a, errA = t.list(ctx, t.a, f.a) })
	b, errB = t.list(ctx, t.b, f.b)
	both.Wait()
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if gone := cmp.Or(a.vanished, b.vanished); gone != "" {
		t.after.keepFolder(f.key)
		t.fail(gone, ReasonFileGone, "the folder was listed and could then not be found; nothing in it is changed")
		return nil
	}
	if err := t.unite(f.key, a, b); err != nil {
		return err
	}
	t.makeWay(f.key, a, b)
	alike := t.alike(a, b)
	t.pairFiles(f, a, b, alike)
	for key := range union(a.dirs, b.dirs) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		next := twoFolders{key: path.Join(f.key, key), a: a.dirs[key], b: b.dirs[key], twin: f.twin || alike[strings.ToLower(key)] > 1}
		if t.walking.TryGo(func() error { return t.folder(ctx, next) }) {
			continue
		}
		if err := t.folder(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

func union[V any](a, b map[string]V) map[string]struct{} {
	all := make(map[string]struct{}, max(len(a), len(b)))
	for key := range a {
		all[key] = struct{}{}
	}
	for key := range b {
		all[key] = struct{}{}
	}
	return all
}

// list reads a folder of one side. One that does not exist yet is empty, but
// for that of the first remote, which has the name of a source.
func (t *twoWay) list(ctx context.Context, s *side, dirs []string) (*content, error) {
	c := &content{side: s, files: map[string]fs.Object{}, dirs: map[string][]string{}, bare: map[string]bool{}, hidden: map[string]bool{}}
	for _, dir := range dirs {
		var l *listing
		err := t.again(ctx, func() (err error) { l, err = listWhole(ctx, s.fs, t.filter, dir); return err })
		switch {
		case errors.Is(err, fs.ErrorDirNotFound) && dir == "" && s == t.a:
			return nil, failure(ReasonSourceMissing, "%s does not exist; nothing was changed", s.remote)
		case errors.Is(err, fs.ErrorDirNotFound) && dir == "":
			continue // it is to be made
		case errors.Is(err, fs.ErrorDirNotFound):
			c.vanished = dir
			continue
		case err != nil:
			return nil, &stepError{s.remote, "list " + quoted(dir) + "of", err}
		}
		t.take(s, c, l)
	}
	return c, nil
}

// take adds a listing to what a side has in a folder.
func (t *twoWay) take(s *side, c *content, l *listing) {
	event := func(state job.FileState, path string, size int64, reason, message string) {
		c.events = append(c.events, job.FileRecord{Action: job.FileCopy, State: state, Path: path, Size: size, Reason: reason, Message: s.remote.String() + ": " + message})
	}
	for _, name := range l.strangers {
		event(job.FileFailed, name, -1, ReasonBadName, "the remote gave a name that leads out of its folder")
	}
	for _, file := range l.files {
		key := t.key(path.Base(file.Remote()))
		switch {
		case !file.Storable():
			reason, why := noContent(t.ctx, file)
			event(job.FileSkipped, file.Remote(), file.Size(), reason, why)
			c.bare[key] = true
		case c.files[key] != nil:
			event(job.FileSkipped, file.Remote(), file.Size(), ReasonSameName, "another file has the same name")
		default:
			c.files[key] = file
		}
	}
	for _, name := range l.hidden {
		c.hidden[t.key(path.Base(name))] = true
	}
	for _, dir := range l.dirs {
		key := t.key(path.Base(dir.Remote()))
		c.dirs[key] = append(c.dirs[key], dir.Remote())
	}
}

// key is what both sides take for a name.
func (t *twoWay) key(name string) string {
	name = norm.NFC.String(name)
	if t.src.Features().CaseInsensitive || t.dst.Features().CaseInsensitive {
		name = strings.ToLower(name)
	}
	return name
}

// pairFiles decides about the files of one folder, several at a time since
// contents may have to be compared.
func (t *twoWay) pairFiles(in twoFolders, a, b *content, alike map[string]int) {
	last, folder := t.before.in(in.key), in.key
	found := int64(0)
	for key := range union(a.files, b.files) {
		name := path.Join(folder, key)
		if a.bare[key] || b.bare[key] {
			continue
		}
		found++
		was, synced := last[key]
		twin := in.twin || alike[strings.ToLower(key)] > 1
		t.comparing.Go(func() error { t.decide(name, was, synced, a.files[key], b.files[key], twin); return nil })
	}
	for key := range union(a.bare, b.bare) {
		t.after.keep(path.Join(folder, key))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.found += found
	t.a.files += int64(len(a.files))
	t.b.files += int64(len(b.files))
	t.events = append(append(t.events, a.events...), b.events...)
}

// decide decides what becomes of one name, of which both sides had a version
// when it was synced.
func (t *twoWay) decide(key string, was versions, synced bool, a, b fs.Object, twin bool) {
	if t.ctx.Err() != nil {
		return
	}
	changedA := a != nil && (!synced || was.A != version(t.dry, a))
	changedB := b != nil && (!synced || was.B != version(t.dry, b))
	var f flow
	to := func(s *side, action job.FileAction) {
		f = flow{key: key, action: action, from: t.a, to: t.b, src: a, dst: b, twin: twin}
		if s == t.a {
			f.from, f.to, f.src, f.dst = t.b, t.a, b, a
		}
	}
	switch {
	case a != nil && b != nil && (!changedA && !changedB || !operations.NeedTransfer(t.dry, b, a)):
		t.same(key, a, b)
		return
	case a != nil && b != nil && changedA && changedB:
		to(t.b, job.FileConflict)
	case a != nil && b != nil && changedA:
		to(t.b, job.FileUpdate)
	case a != nil && b != nil:
		to(t.a, job.FileUpdate)
	case a != nil && (!synced || changedA):
		to(t.b, job.FileCopy)
	case b != nil && (!synced || changedB):
		to(t.a, job.FileCopy)
	case a != nil: // gone at b, and the same at a since then
		to(t.a, job.FileDelete)
	default:
		to(t.b, job.FileDelete)
	}
	t.stillThere(f.name())
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.dst != nil && isExport(f.to.fs, f.dst) {
		t.after.keep(key)
		t.events = append(t.events, job.FileRecord{Action: f.action, State: job.FileSkipped, Path: f.name(), Size: -1, Reason: ReasonNotAFile,
			Message: f.to.remote.String() + ": a Google document is neither overwritten nor deleted"})
		return
	}
	switch {
	case t.tooMany():
	case f.action == job.FileDelete:
		t.deletes = append(t.deletes, f)
	default:
		t.changes = append(t.changes, f)
	}
}

// same notes that both sides are equal.
func (t *twoWay) same(key string, a, b fs.Object) {
	t.settle(a.Remote())
	t.after.set(key, versions{version(t.dry, a), version(t.dry, b)})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.equal++
}
