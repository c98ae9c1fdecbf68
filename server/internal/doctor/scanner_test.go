package doctor_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/doctor"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// ward is a database that a test makes ill. Its jobs have hourly schedules of
// which nothing is told.
type ward struct {
	mu      sync.Mutex
	jobs    int64
	sick    bool
	orphans int
	fail    error
	pages   []store.Page
}

func (w *ward) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *ward) DatabaseTime(context.Context) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now(), w.fail
}

func (w *ward) OverdueJobs(context.Context, time.Time, int) ([]store.Overdue, error) { return nil, nil }

func (w *ward) Orphans(context.Context, int) ([]store.Open, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return make([]store.Open, w.orphans), nil
}

func (w *ward) Stuck(context.Context, time.Time, int) ([]store.Open, error) { return nil, nil }
func (w *ward) Doubles(context.Context, int, int) ([]store.Double, error)   { return nil, nil }
func (w *ward) TakenUp(context.Context, int64, time.Time, time.Time, int) (bool, error) {
	return false, nil
}
func (w *ward) OccurrenceChanges(context.Context, int64) ([]job.OccurrenceChange, error) {
	return nil, nil
}

func (w *ward) AllJobs(_ context.Context, page store.Page) (list []job.Job, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages = append(w.pages, page)
	last := w.jobs
	if page.Before > 0 {
		last = page.Before - 1
	}
	for id := last; id > 0 && len(list) < page.Limit; id-- {
		list = append(list, job.Job{ID: id, Active: true, NextRun: time.Now().Add(time.Hour), Schedule: job.Schedule{Type: job.CronBased, Cron: "* * * * *", TimeZone: "UTC"}})
	}
	return list, nil
}

func (w *ward) Told(_ context.Context, jobIDs []int64, _, _ time.Time) (map[int64]bool, error) {
	told := make(map[int64]bool)
	for _, id := range jobIDs {
		told[id] = true
	}
	return told, nil
}

func (w *ward) Runs(_ context.Context, _ int64, from, to time.Time) (runs []store.Run, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at := from.Truncate(time.Minute); at.Before(to); at = at.Add(time.Minute) {
		if w.sick && at.Minute()%2 == 0 {
			at = at.Add(time.Minute)
		}
		runs = append(runs, store.Run{ScheduledFor: at})
	}
	return runs, nil
}

func (w *ward) SkipsBetween(context.Context, int64, time.Time, time.Time, int) ([]job.Skip, error) {
	return nil, nil
}

func TestScanner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &ward{jobs: 150}
		gauges := map[doctor.Kind]int{}
		var log strings.Builder
		s := &doctor.Scanner{
			Store: w, Every: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Set: func(kind doctor.Kind, n int) { w.set(func() { gauges[kind] = n }) },
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.Run(ctx); close(ended) }()
		is := func(what string, want map[doctor.Kind]int) {
			t.Helper()
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, kind := range doctor.Kinds() {
				if _, known := gauges[kind]; !known || gauges[kind] != want[kind] {
					t.Errorf("%s: gauges %v, want %v", what, gauges, want)
					return
				}
			}
		}
		time.Sleep(time.Minute)
		is("healthy", nil)
		time.Sleep(time.Minute)
		w.set(func() {
			if len(w.pages) != 2 || w.pages[0].Before != 0 || w.pages[1].Before != 51 {
				t.Errorf("looked at %+v", w.pages)
			}
			w.orphans = 2
		})
		time.Sleep(time.Minute)
		is("orphans", map[doctor.Kind]int{doctor.Orphaned: 2})
		time.Sleep(time.Minute) // the turn is over
		w.set(func() { w.orphans, w.sick = 0, true })
		time.Sleep(time.Minute)
		missing := 100 * 30 // of each job every second minute, and no more of a kind than the limit
		is("of the first jobs", map[doctor.Kind]int{doctor.Missing: min(missing, 1000)})
		time.Sleep(time.Minute)
		is("of all jobs", map[doctor.Kind]int{doctor.Missing: 2000})
		w.set(func() { w.sick = false })
		time.Sleep(time.Minute)
		is("while the next turn is under way", map[doctor.Kind]int{doctor.Missing: 2000})
		time.Sleep(time.Minute)
		is("after it", nil)
		if n := strings.Count(log.String(), "promises of the engine are broken"); n != 3 {
			t.Errorf("logged %d times: %s", n, log.String())
		}
		w.set(func() { w.fail = errors.New("no database"); w.orphans = 1 })
		time.Sleep(time.Minute)
		is("without a database", nil)
		w.set(func() { w.fail = nil })
		time.Sleep(time.Minute)
		is("with one again", map[doctor.Kind]int{doctor.Orphaned: 1})
		stop()
		<-ended
		if maps.Equal(gauges, map[doctor.Kind]int{}) {
			t.Error("nothing was set")
		}
	})
}
