package executions

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

// Whoever always leaves after fewer changes than there are active executions is
// told of every end and of every start all the same, in no more visits than it
// takes to go round.
func TestWatchIsAlwaysLeftEarly(t *testing.T) {
	t.Parallel()
	const ends, visit = 60, 7
	for name, active := range map[string]int{"more are active than a visit reads": 20, "more than a cursor holds": 3 * maxActive} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s, ctx := w.service(t)
				s.feed.page = 5
				var open []job.Execution
				for range active {
					open = append(open, w.add(1, 10, job.StateQueued))
				}
				known := map[int64]job.State{}
				cursor := read(ctx, t, s, Watch{InstanceID: 1}, known, visit, time.Minute)
				time.Sleep(time.Minute)
				want := map[int64]job.State{}
				put := func(e job.Execution, state job.State) { want[e.ID] = w.put(e, state).State }
				put(open[0], job.StateFailed)
				put(open[active/2], job.StateSucceeded)
				put(open[active-1], job.StateRunning)
				for range ends {
					put(w.begin(1, 10), job.StateSucceeded)
				}
				time.Sleep(time.Minute)
				for range (active+ends)/visit + 2 {
					cursor = read(ctx, t, s, Watch{InstanceID: 1, Cursor: cursor}, known, visit, time.Minute)
				}
				got := map[int64]job.State{}
				for id := range want {
					got[id] = known[id]
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the last states told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Whoever goes on after all was told is not told again what had ended, however many
// executions of a herd had not.
func TestWatchTellsTheEndsOfAHerdOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const herd, ended = 1500, 700
		w := newWorld()
		s, ctx := w.service(t)
		var open []job.Execution
		for range herd {
			open = append(open, w.add(1, 10, job.StateRunning))
		}
		first := watch(ctx, t, s, Watch{InstanceID: 1})
		if told := first.told(); len(told) != herd {
			t.Fatalf("%d were told at first, want %d", len(told), herd)
		}
		time.Sleep(time.Minute)
		for i := range ended {
			w.put(open[2*i], job.StateSucceeded)
		}
		if told := first.told(); len(told) != ended {
			t.Fatalf("%d ends were told, want %d", len(told), ended)
		}
		first.stop()
		time.Sleep(time.Minute)
		told := watch(ctx, t, s, Watch{InstanceID: 1, Cursor: first.cursor}).told()
		again := slices.DeleteFunc(told, func(one string) bool { return strings.HasSuffix(one, "RUNNING") })
		if len(told) != herd-ended || len(again) != 0 {
			t.Errorf("%d were told on going on, want %d, and these ends were told again: %v", len(told), herd-ended, again)
		}
	})
}

// What ended is told to whoever reads one change at a time once, or twice when it
// was not settled yet, and then no more.
func TestWatchRoundMovesTheFloor(t *testing.T) {
	t.Parallel()
	const ends = 9
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		w.add(1, 10, job.StateRunning)
		cursor := read(ctx, t, s, Watch{InstanceID: 1}, map[int64]job.State{}, 1, time.Minute)
		for range ends {
			w.add(1, 10, job.StateSucceeded)
		}
		time.Sleep(time.Minute)
		var told []int64
		for range 3 * (ends + 1) {
			one := map[int64]job.State{}
			cursor = read(ctx, t, s, Watch{InstanceID: 1, Cursor: cursor}, one, 1, time.Minute)
			for id := range one {
				told = append(told, id)
			}
		}
		slices.Sort(told)
		if most := slices.Index(told, 2); most < ends || len(told) != 3*(ends+1) || len(slices.Compact(told)) != ends+1 {
			t.Errorf("told of %v, want each of %d ends, at most twice, and the one that runs else", told, ends)
		}
	})
}

// One that waits long between its claim and its start is told when it starts, also
// to those who left in between.
func TestWatchTellsWhatWasClaimedLongAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		ahead, gone := w.claimAhead(1, 10), w.claimAhead(1, 10)
		other := w.add(1, 10, job.StateRunning)
		time.Sleep(time.Minute)
		first := watch(ctx, t, s, Watch{InstanceID: 1})
		first.want("at first", "3 RUNNING")
		late := w.claimAhead(1, 10)
		time.Sleep(time.Minute)
		other = w.put(other, job.StateCancelling)
		first.want("a change", "3 CANCELLING")
		first.stop()
		second := watch(ctx, t, s, Watch{InstanceID: 1, Cursor: first.cursor})
		second.want("while they wait", "3 CANCELLING")
		w.withdraw(gone.ID)
		w.put(late, job.StateRunning)
		second.want("a withdrawal and a start", fmt.Sprint(late.ID, " RUNNING"))
		second.stop()
		w.put(ahead, job.StateSucceeded)
		w.put(other, job.StateCancelled)
		told := watch(ctx, t, s, Watch{InstanceID: 1, Cursor: first.cursor}).told()
		want := []string{"1 SUCCEEDED", "3 CANCELLED", fmt.Sprint(late.ID, " RUNNING")}
		if slices.Sort(told); !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}
