package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/doctor"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
)

// Whatever callers and the engine do to jobs, nothing may seem broken: else the
// doctor is wrong, or the engine.
func TestNothingSeemsBroken(t *testing.T) {
	t.Parallel()
	seeds := uint64(6)
	if raceDetector {
		seeds = 1 // a walk is one step after the other, and takes ten times as long
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWalk(t, seed)
				for range 500 {
					w.step()
				}
				for range 120 { // so that nothing is overdue
					time.Sleep(time.Second)
					w.tick()
				}
				o := doctor.DefaultOptions()
				o.StuckAfter = 6 * time.Hour // behind others, and those behind others
				report := w.check(func(to *doctor.Options) { *to = o })
				for _, v := range report.Violations {
					t.Errorf("%+v\n%s", v, strings.Join(w.log, "\n"))
				}
				w.wantExactRows()
			})
		})
	}
}

// wantExactRows fails when what a row tells reaches over what another row or an
// execution tells. What was told before its time may belong to a schedule of
// earlier.
func (w *walk) wantExactRows() {
	w.t.Helper()
	began, end := time.Now().Add(-14*24*time.Hour), time.Now().Add(24*time.Hour)
	for _, id := range w.ids {
		rows, err := w.SkipsBetween(w.ctx, id, began, end, math.MaxInt32)
		if err != nil {
			w.t.Fatal(err)
		}
		runs, err := w.Runs(w.ctx, id, began, end)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, row := range rows {
			within := func(at time.Time) bool {
				return at.After(row.First) && at.Before(row.Last) && (id == w.fixed || !w.early[at.UTC()])
			}
			for _, other := range rows {
				if within(other.First) || within(other.Last) {
					w.t.Errorf("job %d: %+v reaches over %+v\n%s", id, row, other, strings.Join(w.log, "\n"))
				}
			}
			for _, run := range runs {
				if within(run.ScheduledFor) {
					w.t.Errorf("job %d: %+v reaches over %+v\n%s", id, row, run, strings.Join(w.log, "\n"))
				}
			}
		}
	}
}

// walk is the life of a few jobs.
type walk struct {
	*bench
	ctx       context.Context
	random    *rand.Rand
	jobs      *jobs.Service
	instances *instances.Service
	ids       []int64
	// fixed is a job that keeps its schedule, early what was moved to before its
	// time of the others.
	fixed int64
	early map[time.Time]bool
	// open are the claims that have not ended.
	open []*running
	// log is what was done, the newest last.
	log []string
}

type running struct {
	store.Claimed
	started time.Time
	until   time.Time
}

func newWalk(t *testing.T, seed uint64) *walk {
	t.Helper()
	b := openBench(t, "file:"+filepath.Join(t.TempDir(), "carillon.db"))
	b.t = t
	scopes, err := auth.ParseScopes("operator")
	if err != nil {
		t.Fatal(err)
	}
	authorizer := auth.NewAuthorizer(b)
	w := &walk{
		bench: b, random: rand.New(rand.NewPCG(seed, 3)),
		ctx:       auth.With(t.Context(), auth.Principal{Subject: "operator", Scopes: scopes}),
		jobs:      jobs.New(b, authorizer, task.NewRegistry(util.Noop{}), time.Now),
		instances: instances.New(b, authorizer, time.Now), early: map[time.Time]bool{},
	}
	for n := range 4 {
		f := w.fields()
		if n == 3 {
			*f.Type, f.Cron, f.IntervalMinutes = job.CronBased, new("* * * * *"), nil
		}
		f.Workflow = map[string]any{"tasks": []any{map[string]any{"name": "a", "type": "util.noop"}}}
		j, err := w.jobs.Create(w.ctx, jobs.Create{InstanceID: b.instance, Fields: f})
		if err != nil {
			t.Fatal(err)
		}
		w.ids = append(w.ids, j.ID)
		w.fixed = j.ID
	}
	return w
}

func one[T any](random *rand.Rand, of ...T) T { return of[random.IntN(len(of))] }

// fields are those of a random definition.
func (w *walk) fields() jobs.Fields {
	kind, cron, minutes := job.CronBased, one(w.random, "* * * * *", "*/2 * * * *", "5,6,7,40 * * * *"), 1+w.random.IntN(3)
	overlap := one(w.random, job.OverlapSkip, job.OverlapSkip, job.OverlapBufferOne, job.OverlapBufferAll, job.OverlapCancelOther, job.OverlapAllow)
	catchUp := one(w.random, job.CatchUpLatest, job.CatchUpAll, job.CatchUpNone)
	f := jobs.Fields{Type: &kind, Cron: &cron, Overlap: &overlap, CatchUp: &catchUp}
	if w.random.IntN(2) == 0 {
		kind = job.IntervalBased
		f.Cron, f.IntervalMinutes = nil, &minutes
	}
	excluded := one(w.random, nil, nil, []string{time.Now().UTC().Add(12 * time.Hour).Format(time.DateOnly)})
	jitter := one(w.random, 0, 0, 20*time.Second)
	limit := one(w.random, 0, 0, 0, int64(30+w.random.IntN(60)))
	window := one(w.random, 24*time.Hour, 5*time.Minute)
	f.Options, f.Limits, f.CatchUpWindow = jobs.OptionFields{ExcludedDates: &excluded, Jitter: &jitter}, jobs.LimitFields{MaxExecutions: &limit}, &window
	return f
}

// step lets some time pass, maybe with a downtime, does something or nothing,
// and looks for work.
func (w *walk) step() {
	time.Sleep(time.Duration(w.random.Int64N(int64(45 * time.Second))))
	if w.random.IntN(60) == 0 {
		w.note("nothing runs", nil)
		time.Sleep(time.Duration(w.random.Int64N(int64(20 * time.Minute))))
	}
	if w.random.IntN(5) == 0 {
		w.act(w.ids[w.random.IntN(len(w.ids))])
	}
	w.tick()
}

func (w *walk) note(what string, err error) {
	w.log = append(w.log, fmt.Sprintf("%s %s: %v", time.Now().UTC().Format(time.TimeOnly+".000"), what, err))
}

// act is what a caller does; much of it is refused.
func (w *walk) act(id int64) {
	soon := time.Now().Add(time.Duration(1+w.random.IntN(300)) * time.Second)
	slot := time.Now().UTC().Truncate(time.Minute).Add(time.Duration(w.random.IntN(12)-2) * time.Minute)
	if j, err := w.Job(w.ctx, id); err == nil && j.Schedule.Type == job.IntervalBased && !j.NextRun.IsZero() {
		slot = j.NextRun.Add(time.Duration(w.random.IntN(4)*j.Schedule.IntervalMinutes) * time.Minute)
	}
	until := one(w.random, time.Time{}, soon)
	var err error
	var what string
	switch w.random.IntN(14) {
	case 0, 12:
		what = "pause"
		_, err = w.jobs.Pause(w.ctx, jobs.Pause{ID: id, Until: until})
	case 1, 2:
		what = "resume"
		_, err = w.jobs.Resume(w.ctx, id, "")
	case 3:
		if id == w.fixed {
			return
		}
		what = "define anew"
		_, err = w.jobs.Update(w.ctx, jobs.Update{ID: id, Fields: w.fields()})
	case 4:
		what = "rename"
		name := fmt.Sprint(w.random.IntN(9))
		_, err = w.jobs.Update(w.ctx, jobs.Update{ID: id, Fields: jobs.Fields{Name: &name}})
	case 5:
		what = "run"
		_, err = w.jobs.Run(w.ctx, jobs.Run{JobID: id, TriggerID: fmt.Sprint(w.random.Uint64()), Overlap: one(w.random, "", job.OverlapAllow)})
	case 6:
		what = "skip " + slot.String()
		_, err = w.jobs.SkipOccurrence(w.ctx, id, slot)
	case 7, 13:
		what = "move " + slot.String() + " to " + soon.String()
		if _, err = w.jobs.MoveOccurrence(w.ctx, id, slot, soon); soon.Before(slot) {
			w.early[slot.UTC()] = true
		}
	case 8:
		what = "restore " + slot.String()
		_, err = w.jobs.RestoreOccurrence(w.ctx, id, slot)
	case 9:
		what = "pause all"
		_, err = w.instances.Pause(w.ctx, instances.Pause{ID: w.instance, Until: until})
	case 10:
		what = "resume all"
		_, err = w.instances.Resume(w.ctx, w.instance)
	case 11:
		what = "backfill"
		_, err = w.jobs.Backfill(w.ctx, jobs.Backfill{JobID: id, From: time.Now().Add(-20 * time.Minute), To: time.Now().Add(-5 * time.Minute), Concurrency: 2, Overlap: job.OverlapAllow})
	}
	w.note(fmt.Sprint("job ", id, " ", what), err)
	var unavailable *job.UnavailableError
	if errors.As(err, &unavailable) {
		w.t.Fatal(err)
	}
}

// tick does what ticker and executor do.
func (w *walk) tick() {
	w.t.Helper()
	now := job.Time(time.Now())
	req := store.ClaimRequest{Owner: w.replica, Now: now, Ahead: now.Add(500 * time.Millisecond), Limit: 100}
	due, _, err := w.ClaimDue(w.ctx, req, func(due store.Due) store.Decision { return policy.Due(due, now) })
	if err != nil {
		w.t.Fatal(err)
	}
	queued, _, err := w.ClaimQueued(w.ctx, req)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.AdvanceBackfills(w.ctx, now, policy.BackfillSlots); err != nil {
		w.t.Fatal(err)
	}
	for _, c := range append(due, queued...) {
		w.note(fmt.Sprintf("job %d claimed %v %v", c.JobID, c.Trigger, c.ScheduledFor), nil)
		w.open = append(w.open, &running{Claimed: c})
	}
	w.run(now)
}

// run starts what may start and ends what has run for long enough.
func (w *walk) run(now time.Time) {
	w.t.Helper()
	var left []*running
	var ends []store.Finish
	for _, r := range w.open {
		if r.started.IsZero() && !r.NotBefore.After(now) {
			still, err := w.StillClaimed(w.ctx, []store.Claimed{r.Claimed})
			if err != nil {
				w.t.Fatal(err)
			}
			if _, claimed := still[r.ExecutionID]; !claimed {
				continue // withdrawn
			}
			r.started, r.until = now, now.Add(time.Duration(w.random.Int64N(int64(one(w.random, time.Second, time.Minute, 6*time.Minute)))))
		}
		if r.started.IsZero() || r.until.After(now) {
			left = append(left, r)
			continue
		}
		end := store.Finish{ExecutionID: r.ExecutionID, JobID: r.JobID, Fence: r.Fence, State: job.StateSucceeded, StartedAt: r.started, FinishedAt: now}
		if r.Attempt < 3 && w.random.IntN(6) == 0 {
			end.State, end.RetryAt = job.StateQueued, now.Add(30*time.Second)
		}
		ends = append(ends, end)
	}
	w.open = left
	if len(ends) > 0 {
		if _, err := w.Finish(w.ctx, ends); err != nil {
			w.t.Fatal(err)
		}
	}
}
