package executions

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Replicas make executions whose ids are seen late, in any order, that last for
// any time; a client that comes and goes must know of each in the end how it
// ended.
func TestWatchMissesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s, ctx := w.service(t)
			s.feed.page = 1 + int(seed%4)
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			random := rand.New(rand.NewPCG(seed, 1))
			started := make(chan struct{})
			for range 4 {
				go live(ctx, w, rand.New(rand.NewPCG(seed, random.Uint64())), started)
			}
			time.Sleep(time.Duration(random.IntN(20)) * time.Second)
			known := map[int64]job.State{}
			jobID := int64(10) * int64(random.IntN(2)) // 0 for all
			cursor := read(ctx, t, s, Watch{InstanceID: 1, JobID: jobID}, known, 1, time.Hour)
			close(started) // what is put from now on must be told
			go interrupt(ctx, w, rand.New(rand.NewPCG(seed, 2)))
			for range 40 {
				cursor = read(ctx, t, s, Watch{InstanceID: 1, JobID: jobID, Cursor: cursor}, known,
					1+random.IntN(20), time.Duration(random.IntN(30_000))*time.Millisecond)
				time.Sleep(time.Duration(random.IntN(10_000)) * time.Millisecond)
			}
			stop()
			time.Sleep(10 * time.Minute)
			_, ctx = w.service(t)
			read(ctx, t, s, Watch{InstanceID: 1, JobID: jobID, Cursor: cursor}, known, 1_000_000, time.Minute)
			compare(t, seed, w, jobID, known)
		})
	}
}

// watched marks executions that were put when the client was there.
const watched = 1000

// live makes executions, one after the other, until ctx ends.
func live(ctx context.Context, w *world, random *rand.Rand, started <-chan struct{}) {
	wait := func(most time.Duration) { time.Sleep(time.Duration(random.Int64N(int64(most)))) }
	for ctx.Err() == nil {
		e := w.begin(1+int64(random.IntN(2)), 10+int64(random.IntN(2)))
		if random.IntN(3) == 0 {
			wait(5 * time.Second) // the transaction takes its time
		}
		if random.IntN(4) == 0 {
			e = w.claimAhead(1+int64(random.IntN(2)), 10+int64(random.IntN(2)))
			wait([]time.Duration{time.Second, time.Minute}[random.IntN(2)])
			if random.IntN(3) == 0 {
				w.withdraw(e.ID)
				continue
			}
		}
		select {
		case <-started:
			e.LogBytes = watched
		default:
		}
		if random.IntN(3) > 0 {
			e = w.put(e, job.StateQueued)
			wait([]time.Duration{10 * time.Millisecond, time.Second, time.Minute}[random.IntN(3)])
			e = w.put(e, job.StateRunning)
			wait([]time.Duration{10 * time.Millisecond, time.Second, 3 * time.Minute}[random.IntN(3)])
		}
		w.put(e, []job.State{job.StateSucceeded, job.StateFailed}[random.IntN(2)])
		wait(time.Second)
	}
}

// interrupt takes the store away now and then, until ctx ends.
func interrupt(ctx context.Context, w *world, random *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(random.IntN(60_000)) * time.Millisecond)
		w.outage(errors.New("out of order"))
		time.Sleep(time.Duration(random.IntN(20_000)) * time.Millisecond)
		w.outage(nil)
	}
}

// read takes changes for a while, or until it has enough, and answers the last
// cursor.
func read(ctx context.Context, t *testing.T, s *Service, w Watch, known map[int64]job.State, enough int, patience time.Duration) string {
	t.Helper()
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	changes, err := s.Watch(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	for change, err := range changes {
		if err != nil {
			break
		}
		known[change.Execution.ID] = change.Execution.State
		w.Cursor = change.Cursor
		if enough--; enough == 0 {
			break
		}
	}
	return w.Cursor
}

func compare(t *testing.T, seed uint64, w *world, jobID int64, known map[int64]job.State) {
	t.Helper()
	if len(known) == 0 {
		t.Errorf("seed %d: nothing was told", seed)
	}
	for _, e := range w.ended {
		if e.InstanceID != 1 || (jobID != 0 && e.JobID != jobID) {
			if _, told := known[e.ID]; told {
				t.Errorf("seed %d: told of %d, which is another's", seed, e.ID)
			}
			continue
		}
		if state := known[e.ID]; state != e.State && (state != "" || e.LogBytes == watched) {
			t.Errorf("seed %d: the last state told of %d is %q, want %s", seed, e.ID, state, e.State)
		}
	}
}
