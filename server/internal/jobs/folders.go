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

// foldersOf are the folders of a workflow as executions hold them, each once:
// what is written by one task and read by another is written.
func foldersOf(named []task.Folder) []job.Folder {
	folders := make([]job.Folder, 0, len(named))
	for _, f := range named {
		if id, ok := job.KindResource.Parse(f.ResourceID); ok {
			folders = append(folders, job.Folder{ResourceID: id, Remote: f.Remote, Path: folderPath(f.Path), Writes: f.Writes})
		}
	}
	slices.SortFunc(folders, func(a, b job.Folder) int {
		return cmp.Or(cmp.Compare(a.ResourceID, b.ResourceID), strings.Compare(a.Remote, b.Remote), strings.Compare(a.Path, b.Path), writesFirst(a, b))
	})
	return slices.CompactFunc(folders, func(a, b job.Folder) bool {
		return a.ResourceID == b.ResourceID && a.Remote == b.Remote && a.Path == b.Path
	})
}

func writesFirst(a, b job.Folder) int {
	switch {
	case a.Writes == b.Writes:
		return 0
	case a.Writes:
		return -1
	default:
		return 1
	}
}

// folderPath is a path in the form of job.Folder. Letters of both cases count as
// one: to some services they are, and for the others two executions wait for
// one another without need, at worst.
func folderPath(folder string) string {
	return strings.ToLower(norm.NFC.String(strings.TrimPrefix(path.Clean("/"+folder), "/")))
}
