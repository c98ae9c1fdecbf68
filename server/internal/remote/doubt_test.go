package remote

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

// What an earlier attempt could not tell is told when it is found done, and
// only then: once, as that change, and without being counted.
func TestLostOutcomesAreFound(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Copy, Mirror, Bisync} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			files{"copied": "1", "updated": "22", "d/deep": "1", "not-yet": "1", "equal": "1"}.write(t, b.root+"/src")
			files{"copied": "1", "updated": "22", "d/deep": "1", "equal": "1", "left": "1"}.write(t, b.root+"/dst")
			doubtful := []job.FileRecord{
				{Action: job.FileCopy, Path: "copied", Size: 1}, {Action: job.FileUpdate, Path: "updated", Size: 2}, {Action: job.FileCopy, Path: "d/deep", Size: 1},
				{Action: job.FileCopy, Path: "not-yet", Size: 1}, {Action: job.FileDelete, Path: "gone", Size: 1}, {Action: job.FileDelete, Path: "left", Size: 1},
			}
			var mu sync.Mutex
			var found []string
			change := func(r *Request) {
				r.Mode, r.Doubtful = mode, doubtful
				note := r.OnFile
				r.OnFile = func(ctx context.Context, f job.FileRecord) {
					if f.Reason == ReasonFoundDone {
						mu.Lock()
						defer mu.Unlock()
						found = append(found, string(f.Action)+" "+string(f.State)+" "+f.Path)
						return
					}
					note(ctx, f)
				}
			}
			result, _, err := b.syncLocal(t, "/src", "/dst", change)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"COPY DONE copied", "COPY DONE d/deep", "DELETE DONE gone", "UPDATE DONE updated"}
			counted := map[Mode]Result{
				Copy:   {Found: 5, Copied: 1, Skipped: 4, Bytes: 1},
				Mirror: {Found: 5, Copied: 1, Deleted: 1, Skipped: 4, Bytes: 1},
				Bisync: {Found: 6, Copied: 2, Skipped: 4, Bytes: 2},
			}[mode]
			if mode == Copy { // it deletes nothing, so it does not know
				want = slices.Delete(want, 2, 3)
			}
			slices.Sort(found)
			if diff := cmp.Diff(want, found); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			if result != counted {
				t.Errorf("counted %+v, want %+v", result, counted)
			}
		})
	}
}
