package job

import (
	"slices"
	"strings"
)

// Folder is a folder of a remote, with everything below it, that a workflow
// reads or writes: what an execution holds while it runs. Two folders are in one
// account when they name the same stored remote, or when their remotes have the
// same Account.
type Folder struct {
	ResourceID int64  `json:"resource"`
	Remote     string `json:"remote"`
	// Path has no slashes at its ends and no empty parts, and is in one case and
	// normal form, since some services take such names for one.
	Path   string `json:"path,omitempty"`
	Writes bool   `json:"writes,omitempty"`
	// Account is what the stored remote says of itself, when it is known.
	Account string `json:"account,omitempty"`
}

// Collide tells whether two executions that work on these folders must not run
// at once: one folder is the other or lies in it, and at least one is written.
func Collide(a, b []Folder) bool {
	return slices.ContainsFunc(a, func(one Folder) bool { return slices.ContainsFunc(b, one.collides) })
}

func (f Folder) collides(other Folder) bool {
	if !f.Writes && !other.Writes {
		return false
	}
	same := f.ResourceID == other.ResourceID && f.Remote == other.Remote || f.Account != "" && f.Account == other.Account
	return same && (inside(f.Path, other.Path) || inside(other.Path, f.Path))
}

// inside tells whether a folder is another one or lies in it.
func inside(inner, outer string) bool {
	return outer == "" || inner == outer || strings.HasPrefix(inner, outer+"/")
}
