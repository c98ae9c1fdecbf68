package executions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

// watching is a watch whose changes a test takes when it likes.
type watching struct {
	t       *testing.T
	stop    context.CancelFunc
	changes chan Change
	// ended gets the watch's end.
	ended  chan error
	cursor string
}

func watch(ctx context.Context, t *testing.T, s *Service, w Watch) *watching {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	changes, err := s.Watch(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	g := &watching{t: t, stop: stop, changes: make(chan Change), ended: make(chan error, 1)}
	go func() {
		for change, err := range changes {
			if err != nil {
				g.ended <- err
				return
			}
			select {
			case g.changes <- change:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(stop)
	return g
}

// told are the changes of the next second: "3 RUNNING".
func (g *watching) told() []string {
	g.t.Helper()
	var all []string
	for end := time.After(time.Second); ; {
		select {
		case c := <-g.changes:
			all = append(all, fmt.Sprint(c.Execution.ID, " ", c.Execution.State))
			g.cursor = c.Cursor
		case err := <-g.ended:
			g.t.Fatalf("the watch ended: %v", err)
		case <-end:
			return all
		}
	}
}

func (g *watching) want(what string, want ...string) {
	g.t.Helper()
	if diff := cmp.Diff(want, g.told()); diff != "" {
		g.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestWatchTellsWhatHasNotEndedAndEveryChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		old := w.add(1, 10, job.StateSucceeded)
		waiting, running := w.add(1, 10, job.StateQueued), w.add(1, 11, job.StateRunning)
		_, elsewhere := w.add(2, 20, job.StateRunning), w.add(2, 20, job.StateQueued)
		g := watch(ctx, t, s, Watch{InstanceID: 1})
		g.want("at first", "2 QUEUED", "3 RUNNING")
		g.want("when nothing changes")

		waiting = w.put(waiting, job.StateRunning)
		w.put(elsewhere, job.StateRunning)
		g.want("a start", "2 RUNNING")
		waiting.Attempt++
		w.put(waiting, job.StateRunning)
		g.want("a further attempt", "2 RUNNING")
		w.put(running, job.StateFailed)
		g.want("an end", "3 FAILED")
		w.put(waiting, job.StateCancelling)
		fresh := w.add(1, 11, job.StateQueued)
		g.want("two at once", "2 CANCELLING", "6 QUEUED")
		w.withdraw(fresh.ID)
		short := w.add(1, 10, job.StateSucceeded)
		g.want("one that was withdrawn and one that came and ended", "7 SUCCEEDED")
		w.put(old, job.StateSucceeded)
		w.put(short, job.StateSucceeded)
		g.want("when nothing changes")
	})
}

func TestWatchOfAJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		a, b := w.add(1, 10, job.StateRunning), w.add(1, 11, job.StateRunning)
		g := watch(ctx, t, s, Watch{InstanceID: 1, JobID: 11})
		g.want("at first", "2 RUNNING")
		w.put(a, job.StateSucceeded)
		w.put(b, job.StateSucceeded)
		w.add(1, 10, job.StateSucceeded)
		w.add(1, 11, job.StateSucceeded)
		g.want("then", "2 SUCCEEDED", "4 SUCCEEDED")
		g.stop()
		again := watch(ctx, t, s, Watch{InstanceID: 1, JobID: 11, Cursor: g.cursor})
		for _, told := range again.told() {
			if id, _, _ := strings.Cut(told, " "); id != "2" && id != "4" {
				t.Errorf("told of another job: %s", told)
			}
		}
	})
}

// Ids are given before they are committed.
func TestWatchTellsOfIdsThatAreSeenLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		before := w.begin(1, 10)
		w.add(1, 10, job.StateSucceeded)
		g := watch(ctx, t, s, Watch{InstanceID: 1})
		g.want("at first")
		late := w.begin(1, 10)
		for range 4 { // the newest id moves on meanwhile
			w.add(1, 10, job.StateSucceeded)
			if got := g.told(); len(got) != 1 {
				t.Fatalf("told %v, want one end", got)
			}
		}
		w.put(late, job.StateSucceeded)
		w.put(before, job.StateSucceeded)
		g.want("two that come late", "1 SUCCEEDED", "3 SUCCEEDED")
	})
}

func TestWatchGoesOnWithoutAGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		long, other := w.add(1, 10, job.StateRunning), w.add(1, 10, job.StateRunning)
		time.Sleep(time.Hour)
		for range 1200 {
			w.add(1, 10, job.StateSucceeded)
		}
		time.Sleep(time.Hour)
		g := watch(ctx, t, s, Watch{InstanceID: 1})
		g.want("at first", "1 RUNNING", "2 RUNNING")
		time.Sleep(time.Minute)
		tick := w.add(1, 10, job.StateRunning)
		g.want("then", "1203 RUNNING")
		g.stop()
		w.put(long, job.StateFailed)
		w.put(tick, job.StateSucceeded)
		for range 1200 {
			w.add(1, 10, job.StateSucceeded)
		}
		time.Sleep(time.Hour)
		again := watch(ctx, t, s, Watch{InstanceID: 1, Cursor: g.cursor})
		told := again.told()
		// What ended long before the watch does not come again.
		if len(told) != 1203 || told[0] != "1 FAILED" || told[1] != "2 RUNNING" || told[2] != "1203 SUCCEEDED" {
			t.Errorf("told %d changes, %v…, want 1203", len(told), told[:min(5, len(told))])
		}
		again.stop()
		w.put(other, job.StateSucceeded)
		last := watch(ctx, t, s, Watch{InstanceID: 1, Cursor: again.cursor})
		if told := last.told(); len(told) > 2*watchPage || !slices.Contains(told, "2 SUCCEEDED") {
			t.Errorf("told %d changes after those of before, without the last end or with most of them again", len(told))
		}
	})
}

// Whoever leaves between two changes of one poll is told of the second one
// later, however low its id is.
func TestWatchIsLeftBetweenTwoChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		s.feed.page = 1
		first := w.add(1, 10, job.StateRunning)
		late := w.begin(1, 10)
		w.add(1, 10, job.StateRunning)
		g := watch(ctx, t, s, Watch{InstanceID: 1})
		g.want("at first", "1 RUNNING", "3 RUNNING")
		w.outage(errors.New("out of order"))
		w.put(first, job.StateFailed)
		w.put(late, job.StateFailed)
		time.Sleep(time.Minute)
		w.outage(nil)
		change := <-g.changes
		g.stop()
		if change.Execution.ID != first.ID {
			t.Fatalf("told of %d first", change.Execution.ID)
		}
		told := watch(ctx, t, s, Watch{InstanceID: 1, Cursor: change.Cursor}).told()
		if !slices.Contains(told, "2 FAILED") {
			t.Errorf("told %v, without the second change", told)
		}
	})
}

func TestWatchNeverTellsOfOtherInstances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		w.add(2, 20, job.StateRunning)
		w.add(2, 20, job.StateSucceeded)
		w.add(1, 11, job.StateSucceeded)
		forged := position{instance: 1, job: 10, floor: 3, active: []int64{1, 2, 3}}.cursor()
		watch(ctx, t, s, Watch{InstanceID: 1, JobID: 10, Cursor: forged}).want("with a forged cursor")
	})
}
