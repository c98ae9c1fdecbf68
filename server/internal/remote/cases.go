package remote

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/job"
)

// Some servers take names that differ by case only for one: those on Windows and
// macOS, and whatever lies on their disks. The library knows which services do,
// but not which servers. There a file that is written under one name replaces the
// one of the other, and to delete the other deletes both. So where a folder has a
// name that differs by case only from a missing one, the server is asked.

// unsure tells that nobody knows whether the remote tells such names apart.
func (r *Remote) unsure() bool {
	switch r.cfg.Type {
	case "webdav", "sftp", typeLocal:
		return !r.fs.Features().CaseInsensitive
	default:
		return false
	}
}

// twins finds, for names that others lacks, one of others that differs by case
// only.
func twins[V, W any](names map[string]V, others map[string]W) map[string]string {
	var folded, found map[string]string
	for name := range names {
		if _, there := others[name]; there || len(others) == 0 {
			continue
		}
		if folded == nil {
			folded = make(map[string]string, len(others))
			for other := range others {
				folded[strings.ToLower(other)] = other
			}
		}
		if twin, ok := folded[strings.ToLower(name)]; ok {
			if found == nil {
				found = map[string]string{}
			}
			found[name] = twin
		}
	}
	return found
}

// hasFile asks whether there is a file of this very name, or of one that the
// remote takes for it.
func hasFile(ctx context.Context, f fs.Fs, name string) (bool, error) {
	_, err := f.NewObject(ctx, name)
	if errors.Is(err, fs.ErrorObjectNotFound) || errors.Is(err, fs.ErrorIsDir) || errors.Is(err, fs.ErrorNotAFile) {
		return false, nil
	}
	return err == nil, err
}

// hasFolder asks the same about a folder.
func hasFolder(ctx context.Context, f fs.Fs, name string) (bool, error) {
	_, err := f.List(ctx, name)
	if errors.Is(err, fs.ErrorDirNotFound) || errors.Is(err, fs.ErrorIsFile) {
		return false, nil
	}
	return err == nil, err
}

// unite finds entries of the source that seem to be missing at the destination
// under other names.
func (m *matcher) unite() error {
	if m.folder.src == nil || !m.Dest.unsure() {
		return nil
	}
	m.markTwins()
	names := m.names()
	if len(names) == 0 {
		return nil
	}
	create, next := m.create, m.next
	m.create, m.next = nil, nil
	for _, c := range create {
		if err := m.uniteFile(c, twinOf(names, m.key(c.src))); err != nil {
			return err
		}
	}
	for _, p := range next {
		var t twin
		if p.src != nil && p.dst == nil {
			t = twinOf(names, m.keyOf(*p.src))
		}
		if err := m.uniteFolder(p, t); err != nil {
			return err
		}
	}
	return nil
}

// markTwins marks what is new and alike.
func (m *matcher) markTwins() {
	count := make(map[string]int, len(m.create)+len(m.next))
	fold := func(remote string) string { return strings.ToLower(m.keyOf(remote)) }
	for _, c := range m.create {
		count[fold(c.src.Remote())]++
	}
	for _, p := range m.next {
		if p.src != nil && p.dst == nil {
			count[fold(*p.src)]++
		}
	}
	for i, c := range m.create {
		m.create[i].twin = m.folder.twin || count[fold(c.src.Remote())] > 1
	}
	for i, p := range m.next {
		m.next[i].twin = m.folder.twin || p.src != nil && count[fold(*p.src)] > 1
	}
}

// skipTwin tells of a file whose name the destination has by now.
func (e *engine) skipTwin(c change, err error) error {
	if err == nil {
		e.tell(job.FileRecord{Action: c.action(), State: job.FileSkipped, Path: c.src.Remote(), Size: c.src.Size(), Reason: ReasonSameName, Message: oneName})
	}
	return err
}

// twinOf is what there is of a name in another case.
func twinOf(names map[string]twin, name string) twin {
	t := names[strings.ToLower(name)]
	if t.file == name || t.folder == name {
		return twin{} // a file and a folder of one name are another matter
	}
	return t
}

// twin is what the destination has of a name in another case.
type twin struct {
	// file and folder are the names, empty for none. They may have a counterpart
	// of exactly that name.
	file, folder string
}

// names are what the destination has in the folder, by their names in lower case.
func (m *matcher) names() map[string]twin {
	names := map[string]twin{}
	note := func(name string, change func(*twin)) {
		folded := strings.ToLower(name)
		t := names[folded]
		change(&t)
		names[folded] = t
	}
	for _, c := range m.compare {
		note(m.key(c.dst), func(t *twin) { t.file = m.key(c.dst) })
	}
	for name := range m.dstFiles {
		note(name, func(t *twin) { t.file = name })
	}
	for _, p := range m.next {
		if p.dst != nil {
			note(m.keyOf(*p.dst), func(t *twin) { t.folder = m.keyOf(*p.dst) })
		}
	}
	for name := range m.dstDirs {
		note(name, func(t *twin) { t.folder = name })
	}
	for name := range m.hidden {
		note(name, func(t *twin) { t.folder = name })
	}
	return names
}

func (m *matcher) uniteFile(c change, t twin) error {
	at := path.Join(*m.folder.dst, path.Base(c.src.Remote()))
	there, err := false, error(nil)
	if t.file != "" {
		there, err = hasFile(m.compareIn, m.dst, at)
	} else if t.folder != "" {
		there, err = hasFolder(m.compareIn, m.dst, at)
	}
	other, free := m.dstFiles[t.file]
	switch {
	case err != nil:
		return err
	case !there:
		m.create = append(m.create, c)
	case t.file == "":
		m.fail(c.src.Remote(), ReasonInTheWay, "a folder of this name in another case is in the way at the destination")
	case !free:
		m.skip(c.src, ReasonSameName, oneName)
	default:
		m.compare = append(m.compare, change{src: c.src, dst: other})
		delete(m.dstFiles, t.file)
	}
	return nil
}

func (m *matcher) uniteFolder(p pair, t twin) error {
	if t == (twin{}) {
		m.next = append(m.next, p)
		return nil
	}
	at := path.Join(*m.folder.dst, path.Base(*p.src))
	there, err := false, error(nil)
	if t.folder != "" {
		there, err = hasFolder(m.compareIn, m.dst, at)
	} else {
		there, err = hasFile(m.compareIn, m.dst, at)
	}
	other, free := m.dstDirs[t.folder]
	switch {
	case err != nil:
		return err
	case !there:
		m.next = append(m.next, p)
	case t.folder == "":
		m.fail(*p.src, ReasonInTheWay, "a file of this name in another case is in the way at the destination")
	case !free:
		m.events = append(m.events, job.FileRecord{Action: job.FileCopy, State: job.FileSkipped, Path: *p.src, Size: -1, Reason: ReasonSameName, Message: oneName})
	default:
		name := other.Remote()
		delete(m.dstDirs, t.folder)
		m.next = append(m.next, pair{src: p.src, dst: &name, twin: p.twin})
	}
	return nil
}

const oneName = "the remote takes it for another one, whose name differs by case only"
