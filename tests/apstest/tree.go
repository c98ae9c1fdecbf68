package apstest

import (
	"crypto/sha1" // what the service computes
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// folder is a folder; its parent is nil only at the project's root.
type folder struct {
	id, name string
	parent   *folder
	hidden   bool
	denied   bool
	modified time.Time
	// entries are *folder and *item, in the order they were made.
	entries []any
	// names are the names taken by folders, and by files that are visible.
	names map[string]any
	// plans is set below the top folder "Plans".
	plans bool
}

// item is a file with its versions, the newest last.
type item struct {
	id       string
	parent   *folder
	versions []*version
}

type version struct {
	id, name string
	number   int
	item     *item
	object   *object // nil in a version of type Deleted
	created  time.Time
}

func (i *item) tip() *version { return i.versions[len(i.versions)-1] }

// hidden tells whether the file is deleted.
func (i *item) hidden() bool { return i.tip().object == nil }

// object is content in the object storage.
type object struct {
	bucket, key string
	target      *folder
	content     []byte
	sha1        string
	complete    bool
}

func (o *object) urn() string { return "urn:adsk.objects:os.object:" + o.bucket + "/" + o.key }

func (o *object) set(content []byte) {
	sum := sha1.Sum(content)
	o.content, o.sha1, o.complete = content, hex.EncodeToString(sum[:]), true
}

const bucket = "wip.dm.prod"

// plant makes the project's root and its top folders.
func (s *Server) plant() {
	s.root = s.newFolder(nil, "root")
	s.newFolder(s.root, "Project Files")
	s.newFolder(s.root, "Plans").plans = true
}

func (s *Server) newFolder(parent *folder, name string) *folder {
	f := &folder{id: s.id("urn:adsk.wipprod:fs.folder:co."), name: name, parent: parent, names: map[string]any{}, modified: s.options.Now()}
	s.folders[f.id] = f
	if parent != nil {
		f.plans = parent.plans
		f.parent.add(name, f)
	}
	return f
}

func (f *folder) add(name string, entry any) {
	f.entries = append(f.entries, entry)
	f.names[strings.ToLower(name)] = entry
}

// depth is 0 for top folders.
func (f *folder) depth() int {
	depth := -1
	for ; f.parent != nil; f = f.parent {
		depth++
	}
	return depth
}

func (s *Server) newObject(target *folder, name string) *object {
	o := &object{bucket: bucket, key: s.id("obj") + path.Ext(name), target: target}
	s.objects[o.key] = o
	return o
}

// newItem makes a file with its first version.
func (s *Server) newItem(parent *folder, name string, o *object) *item {
	i := &item{id: s.id("urn:adsk.wipprod:dm.lineage:"), parent: parent}
	s.items[i.id] = i
	parent.add(name, i)
	s.newVersion(i, name, o)
	return i
}

// newVersion adds a version, which takes or frees the file's name.
func (s *Server) newVersion(i *item, name string, o *object) *version {
	if len(i.versions) > 0 {
		if old := strings.ToLower(i.tip().name); i.parent.names[old] == i {
			delete(i.parent.names, old)
		}
	}
	if o != nil {
		i.parent.names[strings.ToLower(name)] = i
	}
	number := len(i.versions) + 1
	v := &version{id: fmt.Sprintf("urn:adsk.wipprod:fs.file:vf.%s?version=%d", path.Base(strings.ReplaceAll(i.id, ":", "/")), number),
		name: name, number: number, item: i, object: o, created: s.options.Now()}
	i.versions = append(i.versions, v)
	s.versions[v.id] = v
	return v
}

// Put writes a file as a person at the web page would, with the folders above
// it; the path begins with a top folder.
func (s *Server) Put(name, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parent := s.makeFolders(path.Dir(name))
	o := s.newObject(parent, name)
	o.set([]byte(content))
	if i, ok := parent.names[strings.ToLower(path.Base(name))].(*item); ok {
		s.newVersion(i, path.Base(name), o)
		return
	}
	s.newItem(parent, path.Base(name), o)
}

// PutModel makes a model that lives in the cloud only: a file without storage.
func (s *Server) PutModel(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newItem(s.makeFolders(path.Dir(name)), path.Base(name), &object{content: []byte("model")})
}

// Mkdir makes a folder and those above it.
func (s *Server) Mkdir(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeFolders(name)
}

func (s *Server) makeFolders(name string) *folder {
	f := s.root
	for _, part := range strings.Split(name, "/") {
		next, ok := f.names[strings.ToLower(part)].(*folder)
		if !ok {
			next = s.newFolder(f, part)
		}
		next.hidden = false
		f = next
	}
	return f
}

// Deny takes the permission for a folder and what is below it from everybody.
func (s *Server) Deny(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeFolders(name).denied = true
}

// Files are the contents of all visible files below a folder, by their paths
// relative to it.
func (s *Server) Files(name string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]string{}
	s.makeFolders(name).walk("", func(at string, entry any) {
		if i, ok := entry.(*item); ok {
			found[at] = string(i.tip().object.content)
		}
	})
	return found
}

// Folders are the paths of all visible folders below a folder, in order.
func (s *Server) Folders(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []string{}
	s.makeFolders(name).walk("", func(at string, entry any) {
		if _, ok := entry.(*folder); ok {
			found = append(found, at)
		}
	})
	slices.Sort(found)
	return found
}

// walk visits what is visible.
func (f *folder) walk(at string, visit func(at string, entry any)) {
	for _, entry := range f.entries {
		switch e := entry.(type) {
		case *folder:
			if !e.hidden {
				visit(path.Join(at, e.name), e)
				e.walk(path.Join(at, e.name), visit)
			}
		case *item:
			if !e.hidden() {
				visit(path.Join(at, e.tip().name), e)
			}
		}
	}
}

// Versions are the contents of a file's versions, the oldest first; "" stands
// for one of type Deleted. A deleted file is found by its last name. It is nil
// when there never was such a file.
func (s *Server) Versions(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var contents []string
	for _, entry := range s.makeFolders(path.Dir(name)).entries {
		i, ok := entry.(*item)
		if !ok || !slices.ContainsFunc(i.versions, func(v *version) bool { return v.name == path.Base(name) }) {
			continue
		}
		for _, v := range i.versions {
			content := ""
			if v.object != nil {
				content = string(v.object.content)
			}
			contents = append(contents, content)
		}
	}
	return contents
}
