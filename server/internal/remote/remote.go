package remote

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"sync"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/remote/localfs"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// Remote is an opened folder of a remote, for the time of its session.
type Remote struct {
	cfg  task.RemoteConfig
	path string
	fs   fs.Fs
	// tokens is nil for a type without OAuth.
	tokens *tokens
	// service opens the service itself where a path needs a bucket, to list those.
	service bool

	// asked is closed over the question whether the credentials are refused.
	asked   sync.Once
	refused *job.Failure
}

// String is how people write the remote: name:/path.
func (r *Remote) String() string { return r.cfg.Name + ":" + r.path }

// Open opens the folder at path. Most types connect only when they are first
// used. Errors are *job.Failure where a user can act on them.
func (s *Session) Open(cfg task.RemoteConfig, folder string) (*Remote, error) {
	return s.open(&Remote{cfg: cfg, path: folder})
}

func (s *Session) open(r *Remote) (*Remote, error) {
	if err := s.ended(); err != nil {
		return nil, err
	}
	cfg := r.cfg
	k, ok := kinds[cfg.Type]
	if !ok {
		return nil, failure(ReasonTypeUnavailable, "remote %q is of type %q, which this server does not know", cfg.Name, cfg.Type)
	}
	s.learn(cfg, k)
	var err error
	if cfg.Type == typeLocal {
		r.fs, err = s.openLocal(cfg, r.path)
	} else {
		err = s.openLibrary(r, k)
	}
	if err != nil {
		return nil, s.explain(r, "open", err)
	}
	s.mu.Lock()
	s.opened = append(s.opened, r)
	s.mu.Unlock()
	return r, nil
}

// Work is the name of an execution's work directory among its remotes. No
// stored remote can have it.
const Work = "@work"

// OpenWork opens a folder of the execution's work directory, which has no
// stored configuration.
func (s *Session) OpenWork(dir *workdir.Dir, folder string) (*Remote, error) {
	if err := s.ended(); err != nil {
		return nil, err
	}
	root, err := dir.Files()
	if err != nil {
		return nil, err
	}
	return &Remote{cfg: task.RemoteConfig{Name: Work, Type: typeWork}, path: folder, fs: localfs.New(root, Work, cleanPath(folder), dir)}, nil
}

// learn hides the secrets of a configuration in all texts of the session.
func (s *Session) learn(cfg task.RemoteConfig, k kind) {
	for name, value := range cfg.Options {
		if key, known := k.keys[name]; !known || key.secret {
			s.mask.add(value)
		}
	}
}

func (s *Session) openLocal(cfg task.RemoteConfig, folder string) (fs.Fs, error) {
	if s.remotes.jail == nil {
		return nil, failure(ReasonTypeUnavailable, "remote %q is of type local, which this server does not offer (--local-remote-root)", cfg.Name)
	}
	return localfs.New(s.remotes.jail, fsName(cfg), cleanPath(folder), nil), nil
}

// openLibrary sets the library's view of the remote.
func (s *Session) openLibrary(r *Remote, k kind) error {
	cfg := r.cfg
	info, err := fs.Find(k.backend)
	if err != nil {
		return err
	}
	values, err := translate(cfg, k, info)
	if err != nil {
		return err
	}
	k.bucket = k.bucket && !r.service
	root, err := rootOf(cfg.Type, k, r.path)
	if err != nil {
		return err
	}
	switch cfg.Type {
	case "sftp":
		values["socks_proxy"] = s.tunnel.address()
	case typeAzure:
		s.mask.add(azureSignature(cfg.Options))
	case typeACC:
		if err := s.remotes.app.fill(cfg.Name, values); err != nil {
			return err
		}
		s.mask.add(values["client_secret"])
	}
	if r.tokens == nil {
		r.tokens = s.tokensOf(cfg, values)
	}
	o := &options{ctx: s.ctx, cfg: cfg, learn: s.mask.add, fail: s.cancel, values: values, tokens: r.tokens}
	open := func() (fs.Fs, error) { return info.NewFs(s.ctx, fsName(cfg), root, o.mapper(info)) }
	opened, err := open()
	if errors.Is(err, fs.ErrorIsFile) {
		return failure(ReasonIsFile, "%s is a file; a sync needs a folder", r)
	}
	if err == nil && cfg.Type == "drive" {
		opened, err = withDocuments(opened, o, open)
	}
	if err == nil {
		opened = stage(cfg.Type, cfg.Options, opened)
	}
	r.fs = opened
	return err
}

// fsName tells the library which remotes are one account: it compares names.
func fsName(cfg task.RemoteConfig) string { return fmt.Sprintf("%s@%d", cfg.Name, cfg.ResourceID) }

// rootOf returns the path as the library takes it. It ends in a slash: without
// one the library asks whether it is a file, and takes the parent folder when
// that question fails.
func rootOf(typ string, k kind, folder string) (string, error) {
	root := cleanPath(folder)
	if root == "" && k.bucket {
		return "", failure(ReasonNoBucket, "a path on a remote of type %s starts with a bucket: name:/bucket/folder", typ)
	}
	if typ == "sftp" && strings.HasPrefix(folder, "/") {
		return strings.TrimSuffix("/"+root, "/") + "/", nil
	}
	if root == "" {
		return "", nil
	}
	return root + "/", nil
}

// cleanPath is the path without slashes at its ends and empty parts.
func cleanPath(folder string) string { return strings.TrimPrefix(path.Clean("/"+folder), "/") }

// overlap reports whether one of the folders lies in the other, as far as the
// configurations tell. Of two whose credentials differ they tell it of the inner
// folder only: a few services give each account buckets of its own, and equal
// folders harm each other by nothing.
func overlap(a, b *Remote) bool {
	sameConfig := a.cfg.Name == b.cfg.Name && a.cfg.ResourceID == b.cfg.ResourceID ||
		a.cfg.Type == b.cfg.Type && maps.Equal(identity(a.cfg), identity(b.cfg))
	sameAccount := a.cfg.Type == b.cfg.Type && a.cfg.Type != typeWork &&
		accountOf(a.cfg.Type, a.cfg.Options) == accountOf(b.cfg.Type, b.cfg.Options)
	equal := cleanPath(a.path) == cleanPath(b.path)
	return (sameConfig || sameAccount && !equal) && PathsOverlap(a.path, b.path)
}

// identity is what tells accounts apart: the configuration without what a
// server's first answer adds to it.
func identity(cfg task.RemoteConfig) map[string]string {
	id := maps.Clone(cfg.Options)
	maps.DeleteFunc(id, func(name, value string) bool { return value == "" || name == "host_keys" })
	return id
}

// PathsOverlap reports whether one of two paths of one remote is the other or
// lies in it.
func PathsOverlap(a, b string) bool {
	a, b = cleanPath(a), cleanPath(b)
	inside := func(inner, outer string) bool {
		return outer == "" || inner == outer || strings.HasPrefix(inner, outer+"/")
	}
	return inside(a, b) || inside(b, a)
}

func failure(reason, format string, args ...any) *job.Failure {
	return &job.Failure{Code: "FAILED_PRECONDITION", Reason: reason, Message: fmt.Sprintf(format, args...)}
}
