package ticker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/ticker"
)

func TestLooksAgainAndAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.after(every)
		b.set(func() {
			c := b.claims[len(b.claims)-1]
			want := store.ClaimRequest{Owner: 7, Now: b.Now(), Ahead: b.Now().Add(ahead), Limit: batch}
			if diff := cmp.Diff(want, c.req); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
		b.wantAsked(0, every)
		b.after(2 * every)
		b.wantAsked(2*every, 3*every)
	})
}

// TestSleepsUntilWork: with nothing active the ticker sleeps until the next job
// comes into reach, and what it could not claim in advance it claims on time.
func TestSleepsUntilWork(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		quiet := store.Work{Signals: true}
		b.set(func() { b.work = &quiet })
		b.after(every)
		b.wantLooks(0, every)
		b.after(2 * idle)
		b.wantLooks(every+idle, every+2*idle)
		b.set(func() { quiet.Due = b.began.Add(time.Hour + every + 3*idle + ahead - 100*time.Millisecond) })
		b.after(idle - 50*time.Millisecond)
		b.wantLooks() // it can't know
		b.after(50 * time.Millisecond)
		b.wantLooks(every + 3*idle)
		due := ahead - 100*time.Millisecond
		b.after(due)
		b.wantLooks(every+3*idle+every, every+3*idle+due)
		b.asked()
		b.set(func() { quiet.Due = time.Time{} })
		b.Wake()
		b.after(time.Millisecond)
		b.wantAsked()
	})
}

// TestQuiet: only a look that found nothing active makes the ticker quiet, and any
// claim ends that until the next one.
func TestQuiet(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		work := store.Work{Signals: true}
		is := func(when string, want bool) {
			t.Helper()
			b.Wake()
			b.after(time.Millisecond)
			if b.Quiet() != want {
				t.Errorf("%s: quiet is %v, want %v", when, !want, want)
			}
		}
		is("with work", false)
		b.set(func() { b.work = &work })
		is("with nothing active", true)
		b.set(func() { work.Due = b.Now() })
		is("after a claim", false)
		b.set(func() { work.Due = time.Time{} })
		is("after the next look", true)
		b.set(func() { work.Active = true })
		is("with something active", false)
		b.set(func() { work.Active = false })
		is("with nothing active any more", true)
		b.set(func() { b.workErr = errors.New("away") })
		is("without an answer", false)
	})
}

// TestWakesBeforeTheDueTime: a job of which the ticker knew is claimed about as
// long before its time as jobs are claimed at most.
func TestWakesBeforeTheDueTime(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		work := store.Work{Signals: true, Due: b.Now().Add(every + ahead + 700*time.Millisecond)}
		b.set(func() { b.work = &work })
		b.after(every)
		b.asked()
		b.after(700 * time.Millisecond)
		b.wantAsked(every + 700*time.Millisecond)
	})
}

// TestLooksOften: work of which no signal tells is found by looking.
func TestLooksOften(t *testing.T) {
	t.Parallel()
	for name, work := range map[string]store.Work{
		"active": {Active: true, Signals: true}, "backfills": {Backfills: true, Signals: true}, "no signals": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(b *bench) {
				b.set(func() { b.work = &work })
				b.after(2 * every)
				b.wantLooks(0, every, 2*every)
				b.wantAsked(0)
				if want := map[bool]int{true: 2}[work.Backfills]; len(b.advanced) != want {
					t.Errorf("advanced backfills at %v, want %d times", b.advanced, want)
				}
			})
		})
	}
}

// TestLooksAgainAfterAnError: a database that is away is asked as often as one
// that has work.
func TestLooksAgainAfterAnError(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() { b.work, b.workErr = &store.Work{Signals: true}, errors.New("database away") })
		b.after(3 * every)
		b.wantLooks(0, every, 2*every, 3*every)
	})
}

// A claim that is under way at the end is carried out, and none begins after it.
func TestEndsWithTheClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(t, nil)
		b.due = 3 * batch
		b.claiming = func(claim context.Context) error {
			cancel()
			time.Sleep(time.Second)
			return claim.Err()
		}
		b.Run(ctx)
		b.wantSubmitted(batch)
	})
}

func TestWakesOnSignal(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.after(100 * time.Millisecond)
		b.set(func() { b.due = 1 })
		b.Wake()
		b.after(every)
		b.wantSubmitted(1)
		b.wantAsked(0, 100*time.Millisecond, 100*time.Millisecond+every)
	})
}

func TestSurvivesErrors(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() { b.err, b.due = errors.New("database away"), 3 })
		b.after(time.Minute)
		b.wantSubmitted(0)
		if n := len(b.asked()); n != 241 {
			t.Errorf("asked %d times in a minute with a database that is away, want one each 250 ms", n)
		}
		b.set(func() { b.err = nil })
		b.after(every)
		b.wantSubmitted(3)
	})
}

func TestClaimsNothingWithoutALease(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.asked()
		b.set(func() { b.id, b.due, b.waiting = 0, 5, 5 })
		b.after(time.Minute)
		b.wantAsked()
		b.wantSubmitted(0)
		b.set(func() { b.id = 8 })
		b.after(every)
		b.wantSubmitted(10)
	})
}

func TestClaimsWhatWaitsForFolders(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() { b.folders = 12 })
		b.after(every)
		b.wantSubmitted(12)
	})
}

// TestFoldersWaitForAnEnd: who waits for a folder looks again when anything
// ends here, and not only at the next look.
func TestFoldersWaitForAnEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		folders := []job.Folder{{ResourceID: 1, Remote: "disk", Path: "to", Writes: true}}
		b.set(func() {
			b.holders = []store.Holder{{ExecutionID: 1, Running: true, Folders: folders}, {ExecutionID: 2, Folders: folders}}
		})
		b.after(every)
		b.set(func() { b.holders, b.folders = nil, 1 })
		b.after(every / 5)
		b.makeRoom(1)
		b.wantSubmitted(1)
	})
}

// TestBacklogUsesRoom: what is due and finds no place is claimed as soon as
// there are places enough for a claim, and at once while there are.
func TestBacklogUsesRoom(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() { b.free, b.due = 34, 1000 })
		b.after(every)
		b.wantSubmitted(30) // the four places left are not worth a commit
		b.after(every / 5)
		b.makeRoom(6)
		b.wantSubmitted(40)
		b.makeRoom(1)
		b.wantSubmitted(40) // waits a moment for more
		b.after(5 * time.Millisecond)
		b.wantSubmitted(41)
		b.makeRoom(1)
		b.makeRoom(8)
		b.wantSubmitted(50)
	})
}

// TestBacklogTakesTurns: with a backlog, instances take turns before the rest.
func TestBacklogTakesTurns(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() { b.due = 15 })
		b.asked()
		b.after(every)
		b.set(func() {
			var turns []bool
			for _, c := range b.claims {
				if c.what == "due" {
					turns = append(turns, c.req.PerInstance > 0 && c.req.PerInstance < batch && c.req.Rest)
				}
			}
			if diff := cmp.Diff([]bool{false, true}, turns); diff != "" {
				t.Errorf("turns (-want +got):\n%s", diff)
			}
		})
		b.wantSubmitted(15)
	})
}

// TestFullInstance: while an instance has all its places, others are claimed,
// and its own due jobs wait for a place and not for the next look.
func TestFullInstance(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() { b.full = []int64{3} })
		b.asked()
		b.after(every)
		b.set(func() {
			last := b.claims[len(b.claims)-1].req
			if diff := cmp.Diff([]int64{3}, last.Full); diff != "" || last.PerInstance != batch || last.Rest {
				t.Errorf("request %+v: full (-want +got):\n%s", last, diff)
			}
		})
		b.wantAsked(every)
		b.after(every / 5)
		b.set(func() { b.full, b.spare, b.due = nil, 6, 8 })
		b.makeRoom(0)
		b.wantSubmitted(8) // no more than six at a time
		b.set(func() {
			for _, c := range b.claims {
				if c.req.Limit > 6 {
					t.Errorf("claimed %d where an instance may have 6 more", c.req.Limit)
				}
			}
		})
	})
}

func TestNoPlaceMeansNoClaim(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() { b.free, b.due, b.waiting = 0, 5, 5 })
		b.asked()
		b.after(time.Minute)
		b.wantAsked()
		b.makeRoom(10)
		b.after(5 * time.Millisecond)
		b.wantSubmitted(10)
	})
}

// TestWithoutExecutor: a process that runs nothing makes executions wait for
// one that does.
func TestWithoutExecutor(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *ticker.Options) { o.Places = nil }, func(b *bench) {
		b.set(func() { b.due, b.waiting = 25, 5 })
		b.asked()
		b.after(every)
		b.set(func() {
			for _, c := range b.claims {
				if c.what != "due" || c.req.Owner != 0 || c.req.Limit != batch {
					t.Errorf("asked for %s, as owner %d, up to %d", c.what, c.req.Owner, c.req.Limit)
				}
			}
			if b.due != 0 {
				t.Errorf("%d jobs are still due", b.due)
			}
		})
	})
}

func TestWithoutSchedules(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *ticker.Options) { o.Schedules = false }, func(b *bench) {
		b.set(func() { b.due, b.waiting = 5, 5 })
		b.after(every)
		b.wantAsked()
		b.wantSubmitted(5)
	})
}

// TestSkipsCountOnceStored: a decision is the policy's; what it skips counts
// when the claim that stored it succeeded.
func TestSkipsCountOnceStored(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bench) {
		b.set(func() {
			b.decision, b.err = func(store.Due) store.Decision { return store.Decision{} }, errors.New("away")
		})
		b.after(every)
		if len(b.skipped) != 0 {
			t.Errorf("counted %v of a claim that failed", b.skipped)
		}
		b.set(func() { b.err = nil })
		b.after(every)
		// The bubble's database is an hour ahead: 60 slots were missed, and the
		// newest starts.
		if b.skipped[job.SkipMissed] != 60 {
			t.Errorf("counted %v, want 60 slots missed", b.skipped)
		}
		if d := b.decisions[len(b.decisions)-1]; len(d.Starts) != 1 {
			t.Errorf("decided %+v", d)
		}
	})
}
