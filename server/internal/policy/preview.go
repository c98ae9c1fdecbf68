package policy

import (
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Previewed is what would become of a slot.
type Previewed struct {
	Slot time.Time
	// StartsAt is when its execution would start; zero when there were none.
	StartsAt time.Time
	// Reason is why there were none, empty otherwise.
	Reason string
}

// Preview tells what would become of slots of a schedule, in order, if every
// execution took so long, nothing else ran and nobody was late: each slot is
// decided by [Due] at its time. A cancelled execution is taken to end at once.
func Preview(s job.Schedule, overlap job.OverlapPolicy, slots []time.Time, lasts time.Duration) []Previewed {
	list := make([]Previewed, len(slots))
	var running simulation
	for i, slot := range slots {
		list[i] = Previewed{Slot: slot}
		running.advance(slot)
		due := store.Due{Active: true, Schedule: s, Policies: job.Policies{Overlap: overlap}, NextRun: slot}
		due.Blocking, due.Waiting = running.load()
		decision := Due(due, slot)
		if decision.CancelRunning {
			running.cancel(slot)
		}
		for _, start := range decision.Starts {
			list[i].StartsAt = running.start(start, lasts)
		}
		for _, skip := range decision.Skips {
			if skip.First.Equal(slot) {
				list[i].Reason = skip.Reason
			}
		}
	}
	return list
}

// simulation holds the executions that have not ended, by the order of their
// starts.
type simulation struct {
	now   time.Time
	spans []struct{ start, end time.Time }
}

// advance forgets what has ended by then.
func (s *simulation) advance(now time.Time) {
	s.now = now
	for len(s.spans) > 0 && !s.spans[0].end.After(now) {
		s.spans = s.spans[1:]
	}
}

// load is what of it Due wants to know: whether anything blocks, and how many
// wait.
func (s *simulation) load() (blocking int64, waiting int) {
	for _, span := range s.spans {
		blocking = 1
		if span.start.After(s.now) {
			waiting++
		}
	}
	return blocking, waiting
}

// cancel ends what runs.
func (s *simulation) cancel(now time.Time) {
	for len(s.spans) > 0 && !s.spans[0].start.After(now) {
		s.spans = s.spans[1:]
	}
}

// start adds an execution and answers when it starts: one that waits, when
// nothing else is left.
func (s *simulation) start(start store.Start, lasts time.Duration) time.Time {
	at := start.NotBefore
	if n := len(s.spans); start.Waits && n > 0 && s.spans[n-1].end.After(at) {
		at = s.spans[n-1].end
	}
	s.spans = append(s.spans, struct{ start, end time.Time }{at, at.Add(lasts)})
	return at
}
