package remote

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pointscene/carillon/server/internal/job"
)

// What a folder of one side has under a name may be in the way of what the other
// side has there. Then both stay as they are, and people are told.

// fail tells of a name that is not synced.
func (t *twoWay) fail(name, reason, why string) { t.event(job.FileFailed, name, reason, why) }

func (t *twoWay) event(state job.FileState, name, reason, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, job.FileRecord{Action: job.FileCopy, State: state, Path: name, Size: -1, Reason: reason, Message: why})
}

// drop takes a name out of the files that are compared, on both sides; what was
// known of it stays known.
func (t *twoWay) drop(folder, key string, a, b *content) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range []*content{a, b} {
		if c.files[key] != nil {
			c.side.files++ // it is there all the same
			delete(c.files, key)
		}
	}
	t.after.keep(path.Join(folder, key))
}

// dropFolder does the same for a folder.
func (t *twoWay) dropFolder(folder, key string, a, b *content) {
	delete(a.dirs, key)
	delete(b.dirs, key)
	t.after.keepFolder(path.Join(folder, key))
}

// makeWay leaves alone what is a file on one side and a folder, or something
// without content, on the other. A file is never put where a folder is: some
// WebDAV servers would delete the folder for it.
func (t *twoWay) makeWay(folder string, a, b *content) {
	blocks := func(s *side, there, taken bool) bool { return !there && taken && !s.fs.Features().BucketBased }
	for key := range union(a.hidden, b.hidden) {
		fileA, fileB := a.files[key], b.files[key]
		if fileA == nil && blocks(t.a, false, a.hidden[key]) && fileB != nil || fileB == nil && blocks(t.b, false, b.hidden[key]) && fileA != nil {
			t.fail(path.Join(folder, key), ReasonInTheWay, hiddenFolder)
			t.drop(folder, key, a, b)
		}
	}
	for key := range union(a.dirs, b.dirs) {
		if a.bare[key] || b.bare[key] {
			t.dropFolder(folder, key, a, b)
			continue
		}
		fileA, fileB := a.files[key] != nil, b.files[key] != nil
		dirA, dirB := a.dirs[key] != nil, b.dirs[key] != nil
		file := fileB && blocks(t.a, fileA, dirA) || fileA && blocks(t.b, fileB, dirB)
		dir := dirB && blocks(t.a, dirA, fileA) || dirA && blocks(t.b, dirB, fileB)
		if !file && !dir {
			continue
		}
		t.fail(path.Join(folder, key), ReasonInTheWay, "it is a file on one side and a folder on the other; both stay as they are")
		if file {
			t.drop(folder, key, a, b)
		}
		if dir {
			t.dropFolder(folder, key, a, b)
		}
	}
}

// unite takes names that differ by case only for one where a side does.
func (t *twoWay) unite(folder string, a, b *content) error {
	if !t.Source.unsure() && !t.Dest.unsure() {
		return nil
	}
	for _, way := range []struct {
		from, to *content
		s        *side
	}{{a, b, t.b}, {b, a, t.a}} {
		if !way.s.remote.unsure() {
			continue
		}
		if err := t.uniteFiles(folder, way.from, way.to, way.s); err != nil {
			return &stepError{way.s.remote, "look for a name at", err}
		}
		if err := t.uniteFolders(folder, way.from, way.to, way.s); err != nil {
			return &stepError{way.s.remote, "look for a name at", err}
		}
	}
	return nil
}

// uniteFiles asks a side for the files that it seems to lack.
func (t *twoWay) uniteFiles(folder string, from, to *content, s *side) error {
	found := twins(from.files, to.files)
	for _, key := range slices.Sorted(maps.Keys(found)) {
		twin := found[key]
		other := to.files[twin]
		there, err := other == nil, error(nil) // then another name has got it already
		if !there {
			there, err = hasFile(t.dry, s.fs, path.Join(path.Dir(other.Remote()), path.Base(from.files[key].Remote())))
		}
		switch {
		case err != nil:
			return err
		case there && (other == nil || from.files[twin] != nil):
			t.event(job.FileSkipped, from.files[key].Remote(), ReasonSameName, oneName)
			t.drop(folder, key, from, to)
		case there:
			to.files[key] = other
			delete(to.files, twin)
		}
	}
	for key, twin := range twins(from.files, to.dirs) {
		there, err := hasFolder(t.dry, s.fs, path.Join(path.Dir(to.dirs[twin][0]), path.Base(from.files[key].Remote())))
		if err != nil {
			return err
		}
		if there {
			t.fail(from.files[key].Remote(), ReasonInTheWay, "a folder of this name in another case is in the way on the other side")
			t.drop(folder, key, from, to)
		}
	}
	return nil
}

// uniteFolders asks a side for the folders that it seems to lack.
func (t *twoWay) uniteFolders(folder string, from, to *content, s *side) error {
	found := twins(from.dirs, to.dirs)
	for _, key := range slices.Sorted(maps.Keys(found)) {
		twin := found[key]
		others := to.dirs[twin]
		there, err := others == nil, error(nil)
		if !there {
			there, err = hasFolder(t.dry, s.fs, path.Join(path.Dir(others[0]), path.Base(from.dirs[key][0])))
		}
		switch {
		case err != nil:
			return err
		case there && (others == nil || from.dirs[twin] != nil):
			t.event(job.FileSkipped, from.dirs[key][0], ReasonSameName, oneName)
			t.dropFolder(folder, key, from, to)
		case there:
			to.dirs[key] = to.dirs[twin]
			delete(to.dirs, twin)
		}
	}
	for key, twin := range twins(from.dirs, to.files) {
		there, err := hasFile(t.dry, s.fs, path.Join(path.Dir(to.files[twin].Remote()), path.Base(from.dirs[key][0])))
		if err != nil {
			return err
		}
		if there {
			t.fail(from.dirs[key][0], ReasonInTheWay, "a file of this name in another case is in the way on the other side")
			t.dropFolder(folder, key, from, to)
		}
	}
	return nil
}

// alike counts the names of a folder by what they are in lower case, where a side
// may take those that differ by nothing else for one.
func (t *twoWay) alike(a, b *content) map[string]int {
	if !t.Source.unsure() && !t.Dest.unsure() {
		return nil
	}
	count := map[string]int{}
	for key := range union(a.files, b.files) {
		count[strings.ToLower(key)]++
	}
	for key := range union(a.dirs, b.dirs) {
		count[strings.ToLower(key)]++
	}
	return count
}

// apart moves new files whose names differ from others by case only to the end,
// where the side that gets them may take them for one: they are made one by one.
func apart(flows []flow) (first, late []flow) {
	last := func(f flow) int {
		if f.twin && f.action == job.FileCopy && f.to.remote.unsure() {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(flows, func(x, y flow) int { return last(x) - last(y) })
	n := len(flows)
	for n > 0 && last(flows[n-1]) == 1 {
		n--
	}
	return flows[:n], flows[n:]
}

// carryLate copies a file unless its name is taken by now.
func (t *twoWay) carryLate(f flow) error {
	there, err := hasFile(t.dry, f.to.fs, f.src.Remote())
	if err != nil {
		return err
	}
	if there {
		t.tell(job.FileRecord{Action: f.action, State: job.FileSkipped, Path: f.name(), Size: f.size(), Reason: ReasonSameName, Message: oneName})
		return nil
	}
	return t.carry(f)
}
