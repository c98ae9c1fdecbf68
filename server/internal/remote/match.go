package remote

import (
	"maps"
	"path"
	"strings"

	"github.com/rclone/rclone/fs"
	"golang.org/x/text/unicode/norm"

	"github.com/pointscene/carillon/server/internal/job"
)

// matched is what comparing the names of one folder gave.
type matched struct {
	found, files    int64
	create          []change
	compare         []change
	first, deletes  []fs.Object
	firstDirs, dirs []string
	events          []job.FileRecord
	next            []pair
}

// matcher compares the names of one folder.
type matcher struct {
	*planner
	matched
	folder   pair
	dstFiles map[string]fs.Object
	dstDirs  map[string]fs.Directory
	// blocked are folders of the destination where the source has a file.
	blocked map[string]bool
	// kept are files of the destination that are not to be touched, hidden its
	// folders that the filter leaves out.
	kept, hidden map[string]bool
}

// match sorts the entries of one folder into what is to be done with them.
func (p *planner) match(f pair, src, dst *listing) (*matched, error) {
	m := &matcher{planner: p, folder: f, blocked: map[string]bool{},
		dstFiles: byKey(p, dst.files), dstDirs: byKey(p, dst.dirs)}
	// What has no content is neither overwritten nor deleted.
	m.kept = map[string]bool{}
	maps.DeleteFunc(m.dstFiles, func(key string, file fs.Object) bool {
		m.kept[key] = !file.Storable() || isExport(p.dst, file)
		return m.kept[key]
	})
	m.files = int64(len(m.dstFiles))
	m.hidden = make(map[string]bool, len(dst.hidden))
	for _, name := range dst.hidden {
		m.hidden[p.keyOf(name)] = true
	}
	for _, name := range src.strangers {
		m.fail(name, ReasonBadName, "the remote gave a name that leads out of its folder")
	}
	m.srcFiles(src.files)
	m.srcDirs(src.dirs)
	if err := m.unite(); err != nil {
		return nil, err
	}
	if p.Mode == Mirror {
		m.rest()
	}
	return &m.matched, nil
}

// srcFiles finds each of the source's files at the destination.
func (m *matcher) srcFiles(files []fs.Object) {
	seen := make(map[string]bool, len(files))
	for _, file := range files {
		key := m.key(file)
		switch {
		case !file.Storable():
			reason, why := noContent(m.compareIn, file)
			m.skip(file, reason, why)
			// It is not gone: what the destination has of it stays.
			delete(m.dstFiles, key)
			delete(m.dstDirs, key)
			continue
		case seen[key]:
			m.skip(file, ReasonSameName, "another file has the same name at the destination")
			continue
		}
		seen[key] = true
		m.found++
		if m.kept[key] {
			m.fail(file.Remote(), ReasonInTheWay, "the destination has something without content of this name, such as a Google document, a model in the cloud or a link, which is not overwritten")
			continue
		}
		if m.inTheWay(m.hidden[key]) {
			m.fail(file.Remote(), ReasonInTheWay, hiddenFolder)
			continue
		}
		if m.inTheWay(m.dstDirs[key] != nil) {
			m.blocked[key] = true
			if m.Mode != Mirror {
				m.fail(file.Remote(), ReasonInTheWay, "a folder of this name is in the way at the destination")
				continue
			}
		}
		if there, ok := m.dstFiles[key]; ok {
			delete(m.dstFiles, key)
			m.compare = append(m.compare, change{src: file, dst: there})
			continue
		}
		m.create = append(m.create, change{src: file})
	}
}

// srcDirs finds each of the source's folders at the destination.
func (m *matcher) srcDirs(dirs []fs.Directory) {
	seen := make(map[string]bool, len(dirs))
	for _, dir := range dirs {
		key, name := m.key(dir), dir.Remote()
		if seen[key] {
			m.events = append(m.events, job.FileRecord{Action: job.FileCopy, State: job.FileSkipped, Path: name, Size: -1,
				Reason: ReasonSameName, Message: "another folder has the same name at the destination"})
			continue
		}
		seen[key] = true
		next := pair{src: &name}
		if there, ok := m.dstDirs[key]; ok {
			delete(m.dstDirs, key)
			other := there.Remote()
			next.dst = &other
		}
		if file, ok := m.dstFiles[key]; ok && m.inTheWay(true) && m.Mode == Mirror {
			delete(m.dstFiles, key)
			m.first = append(m.first, file)
		}
		m.next = append(m.next, next)
	}
}

// rest is what only the destination has.
func (m *matcher) rest() {
	for _, file := range m.dstFiles {
		if m.folder.inTheWay {
			m.first = append(m.first, file)
		} else {
			m.deletes = append(m.deletes, file)
		}
	}
	for key, dir := range m.dstDirs {
		name := dir.Remote()
		inTheWay := m.folder.inTheWay || m.blocked[key]
		if inTheWay {
			m.firstDirs = append(m.firstDirs, name)
		} else {
			m.dirs = append(m.dirs, name)
		}
		m.next = append(m.next, pair{dst: &name, inTheWay: inTheWay})
	}
}

// inTheWay reports whether a folder and a file of one name can't live side by
// side at the destination.
func (m *matcher) inTheWay(both bool) bool { return both && !m.planner.dst.Features().BucketBased }

const hiddenFolder = "a folder of this name, which the filter leaves out, is in the way"

func (m *matcher) skip(file fs.Object, reason, why string) {
	m.events = append(m.events, job.FileRecord{
		Action: job.FileCopy, State: job.FileSkipped, Path: file.Remote(), Size: file.Size(), Reason: reason, Message: why,
	})
}

func (m *matcher) fail(name, reason, why string) {
	m.events = append(m.events, job.FileRecord{Action: job.FileCopy, State: job.FileFailed, Path: name, Size: -1, Reason: reason, Message: why})
}

// key is what the destination takes for the entry's name.
func (p *planner) key(entry fs.DirEntry) string { return p.keyOf(entry.Remote()) }

func (p *planner) keyOf(remote string) string {
	name := norm.NFC.String(path.Base(remote))
	if p.dst.Features().CaseInsensitive {
		name = strings.ToLower(name)
	}
	return name
}

// byKey indexes entries of the destination. Of several with one key, which
// some services allow, the first counts; the others are never touched.
func byKey[E fs.DirEntry](p *planner, entries []E) map[string]E {
	index := make(map[string]E, len(entries))
	for _, entry := range entries {
		key := p.key(entry)
		if _, twice := index[key]; !twice {
			index[key] = entry
		}
	}
	return index
}
