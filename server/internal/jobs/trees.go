package jobs

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// placesOf are the folders of a workflow as executions hold them, each once:
// what is written by one task and read by another is written.
func placesOf(folders []task.Folder) []job.Place {
	places := make([]job.Place, 0, len(folders))
	for _, f := range folders {
		if id, ok := job.KindResource.Parse(f.ResourceID); ok {
			places = append(places, job.Place{ResourceID: id, Remote: f.Remote, Path: placePath(f.Path), Writes: f.Writes})
		}
	}
	slices.SortFunc(places, func(a, b job.Place) int {
		return cmp.Or(cmp.Compare(a.ResourceID, b.ResourceID), strings.Compare(a.Remote, b.Remote), strings.Compare(a.Path, b.Path), writesFirst(a, b))
	})
	return slices.CompactFunc(places, func(a, b job.Place) bool {
		return a.ResourceID == b.ResourceID && a.Remote == b.Remote && a.Path == b.Path
	})
}

func writesFirst(a, b job.Place) int {
	switch {
	case a.Writes == b.Writes:
		return 0
	case a.Writes:
		return -1
	default:
		return 1
	}
}

// placePath is a path in the form of job.Place. Letters of both cases count as
// one: to some services they are, and for the others two executions wait for
// one another without need, at worst.
func placePath(folder string) string {
	return strings.ToLower(norm.NFC.String(strings.TrimPrefix(path.Clean("/"+folder), "/")))
}
