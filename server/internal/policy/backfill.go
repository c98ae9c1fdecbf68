package policy

import (
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// BackfillSlots answers up to limit slots of a job's schedule in (after,
// before). The schedule's own start and end bound them too.
func BackfillSlots(s job.Schedule, jobID int64, after, before time.Time, limit int) (slots []time.Time) {
	times, err := schedule.Compile(s, jobID)
	if err != nil {
		return nil
	}
	for slot, ok := times.Next(after); ok && slot.Before(before) && len(slots) < limit; slot, ok = times.Next(slot) {
		slots = append(slots, slot)
	}
	return slots
}
