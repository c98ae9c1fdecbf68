package job

import (
	"slices"
	"strings"
)

// Place is a folder of a remote, with everything below it, that a workflow
// reads or writes: what the lock on trees is about. Two places are in one
// account when they name the same stored remote, or when their remotes have the
// same Account.
type Place struct {
	ResourceID int64  `json:"resource"`
	Remote     string `json:"remote"`
	// Path has no slashes at its ends and no empty parts, and is in one case and
	// normal form, since some services take such names for one.
	Path   string `json:"path,omitempty"`
	Writes bool   `json:"writes,omitempty"`
	// Account is what the stored remote says of itself, when it is known.
	Account string `json:"account,omitempty"`
}

// Collide tells whether two executions that work on these places must not run
// at once: one place is the other or lies in it, and at least one is written.
func Collide(a, b []Place) bool {
	return slices.ContainsFunc(a, func(one Place) bool { return slices.ContainsFunc(b, one.collides) })
}

func (p Place) collides(other Place) bool {
	if !p.Writes && !other.Writes {
		return false
	}
	same := p.ResourceID == other.ResourceID && p.Remote == other.Remote || p.Account != "" && p.Account == other.Account
	return same && (inside(p.Path, other.Path) || inside(other.Path, p.Path))
}

// inside tells whether a folder is another one or lies in it.
func inside(inner, outer string) bool {
	return outer == "" || inner == outer || strings.HasPrefix(inner, outer+"/")
}
