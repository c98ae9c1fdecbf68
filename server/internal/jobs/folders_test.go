package jobs

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

func TestPlacesOfFolders(t *testing.T) {
	t.Parallel()
	got := foldersOf([]task.Folder{
		{ResourceID: "res_7", Remote: "drive", Path: "/Scans//./In/"},
		{ResourceID: "7", Remote: "drive", Path: "scans/in", Writes: true},
		{ResourceID: "res_7", Remote: "drive", Path: "scans/in"},
		{ResourceID: "res_7", Remote: "acc", Path: "/e\u0301", Writes: true},
		{ResourceID: "res_3", Remote: "drive", Path: "/"},
		{ResourceID: "nonsense", Remote: "drive", Path: "/"},
	})
	want := []job.Folder{
		{ResourceID: 3, Remote: "drive"},
		{ResourceID: 7, Remote: "acc", Path: "\u00e9", Writes: true},
		{ResourceID: 7, Remote: "drive", Path: "scans/in", Writes: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}
