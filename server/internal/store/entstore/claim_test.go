package entstore

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/store"
)

// TestInserted: a row's start is found in whatever order the database answers.
func TestInserted(t *testing.T) {
	t.Parallel()
	slot := time.UnixMicro(1_800_000_000_000_000)
	var b claimBatch
	for _, jobID := range []int64{7, 7, 8} {
		slot = slot.Add(time.Minute)
		b.starts = append(b.starts, startRow{due: &dueRow{Due: store.Due{JobID: jobID}}, start: store.Start{ScheduledFor: slot}})
	}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		for n, i := range order {
			want := &b.starts[i]
			if got := b.inserted(n, want.due.JobID, micros(want.start.ScheduledFor)); got != want {
				t.Errorf("order %v: row %d is taken for %+v, want start %d", order, n, got.start, i)
			}
		}
	}
}
