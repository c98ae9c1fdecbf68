package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/rclone/rclone/fs"
)

// Root tells a destination's folder from any other: what a job remembers of
// where it wrote. A mirror that would delete files below a root that the job
// has not synced before is stopped.
type Root struct {
	// Base is a digest of the account, as far as the configuration tells, and
	// of the path.
	Base string `json:"base"`
	// ID is the remote's own name of the folder, empty when it has none or the
	// folder is empty.
	ID string `json:"id,omitempty"`
}

// same reports whether two roots are the same as far as is known.
func (r Root) same(o Root) bool {
	return r.Base == o.Base && (r.ID == o.ID || r.ID == "" || o.ID == "")
}

// known reports whether a root is among those that were synced before, or the
// first at all.
func known(roots []Root, r Root) bool {
	return len(roots) == 0 || r == Root{} || slices.ContainsFunc(roots, r.same)
}

// accountKeys are the keys of a configuration that say which account or server
// it is, by type. Credentials are not among them: they are renewed. A bucket's
// name is unique at its endpoint.
var accountKeys = map[string][]string{
	"s3":      {"provider", "endpoint"},
	"drive":   {"team_drive", "root_folder_id", "shared_with_me"},
	"dropbox": {"root_namespace"},
	"webdav":  {"url", "user"},
	"sftp":    {"host", "port", "user"},
	typeGCS:   {"endpoint"},
	typeACC:   {"hub_id", "project_id"},
}

// Root is what is known of the folder without asking the remote. A work
// directory, which no other execution sees, has none.
func (r *Remote) Root() Root {
	if r.cfg.Type == typeWork {
		return Root{}
	}
	parts := []string{r.cfg.Type, cleanPath(r.path)}
	for _, key := range accountKeys[r.cfg.Type] {
		parts = append(parts, key, r.cfg.Options[key])
	}
	if r.cfg.Type == typeAzure {
		parts = append(parts, "place", azurePlace(r.cfg.Options))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return Root{Base: hex.EncodeToString(sum[:16])}
}

// parentID is the remote's own name of the folder that was listed, empty when
// nothing in it says.
func (l *listing) parentID() string {
	for _, file := range l.files {
		if entry, ok := file.(fs.ParentIDer); ok && entry.ParentID() != "" {
			return entry.ParentID()
		}
	}
	for _, dir := range l.dirs {
		if entry, ok := dir.(fs.ParentIDer); ok && entry.ParentID() != "" {
			return entry.ParentID()
		}
	}
	return ""
}
