package job_test

import (
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestPlacesCollide(t *testing.T) {
	t.Parallel()
	place := func(resource int64, remote, path, account string, writes bool) job.Folder {
		return job.Folder{ResourceID: resource, Remote: remote, Path: path, Account: account, Writes: writes}
	}
	for name, c := range map[string]struct {
		a, b job.Folder
		want bool
	}{
		"the same folder":                    {place(1, "d", "a", "", true), place(1, "d", "a", "", true), true},
		"one inside the other":               {place(1, "d", "a/b/c", "", true), place(1, "d", "a", "", true), true},
		"the root has all":                   {place(1, "d", "", "", true), place(1, "d", "a", "", true), true},
		"siblings":                           {place(1, "d", "a", "", true), place(1, "d", "b", "", true), false},
		"a name that begins like another":    {place(1, "d", "a", "", true), place(1, "d", "ab", "", true), false},
		"two readers":                        {place(1, "d", "a", "", false), place(1, "d", "a", "", false), false},
		"a reader and a writer":              {place(1, "d", "a", "", false), place(1, "d", "a", "", true), true},
		"another remote":                     {place(1, "d", "a", "", true), place(1, "e", "a", "", true), false},
		"another resource":                   {place(1, "d", "a", "", true), place(2, "d", "a", "", true), false},
		"one account under two names":        {place(1, "d", "a", "x", true), place(2, "e", "a/b", "x", true), true},
		"two accounts":                       {place(1, "d", "a", "x", true), place(2, "e", "a/b", "y", true), false},
		"new credentials of the same remote": {place(1, "d", "a", "x", true), place(1, "d", "a", "y", true), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := job.Collide([]job.Folder{c.a}, []job.Folder{c.b}); got != c.want {
				t.Errorf("collide is %t, want %t", got, c.want)
			}
			if got := job.Collide([]job.Folder{c.b}, []job.Folder{c.a}); got != c.want {
				t.Errorf("the other way round it is %t, want %t", got, c.want)
			}
		})
	}
	if job.Collide(nil, []job.Folder{place(1, "d", "", "", true)}) {
		t.Error("no place collides with one")
	}
}
