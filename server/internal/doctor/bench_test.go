package doctor_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/pointscene/carillon/server/internal/doctor"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/tests/pgtest"
	"github.com/pointscene/carillon/tests/sqlitetest"
)

// bench is a database with the life of one job in it, and a way to damage it.
type bench struct {
	*entstore.Store
	t        *testing.T
	instance int64
	replica  int64
	// raw is a connection past the store.
	raw *sql.DB
	// start is the job's first due instant; job is it.
	start time.Time
	job   job.Job
}

// onBoth runs a test on a database of either kind.
func onBoth(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	for driver, open := range map[string]func(*testing.T) (string, string){
		"sqlite": func(t *testing.T) (string, string) {
			file := sqlitetest.Open(t, migrate)
			return file, file + "?_pragma=busy_timeout(60000)"
		},
		"pgx": func(t *testing.T) (string, string) { url := pgtest.Open(t); return url, url },
	} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			url, source := open(t)
			b := openBench(t, url)
			var err error
			if b.raw, err = sql.Open(driver, source); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.raw.Close() })
			test(t, b)
		})
	}
}

// migrate makes the SQLite database that tests get copies of.
func migrate(url string) error {
	s, err := entstore.Open(context.Background(), entstore.Options{URL: url, Timeout: time.Minute})
	if err != nil {
		return err
	}
	_, err = s.Migrate(context.Background())
	return errors.Join(err, s.Close())
}

func openBench(t *testing.T, url string) *bench {
	t.Helper()
	s, err := entstore.Open(t.Context(), entstore.Options{URL: url, Timeout: time.Minute, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Migrate(t.Context()); err != nil { // that of SQLite is migrated
		t.Fatal(err)
	}
	in, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{})
	if err != nil {
		t.Fatal(err)
	}
	replica, now, err := s.Register(t.Context(), "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Store: s, t: t, instance: in.ID, replica: replica.ID, start: now.Truncate(time.Minute).Add(-29 * time.Minute)}
}

// live gives a minute job half an hour of life: an execution a minute, of which
// the one at minute 10 lasts for five, and minutes 20 to 22 are missed. The
// last one runs still.
func (b *bench) live() {
	b.t.Helper()
	j, err := b.CreateJob(b.t.Context(), job.Job{
		InstanceID: b.instance, Active: true, Workflow: []byte(`{}`), NextRun: b.start, CreatedAt: b.start.Add(-time.Second),
		Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: b.start.Add(-time.Minute)},
	}, store.Request{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.job = j
	var open []store.Claimed
	for minute := range 30 {
		now := b.start.Add(time.Duration(minute) * time.Minute)
		if minute != 11 && minute != 12 && minute != 13 && minute != 14 {
			b.end(open, now)
			open = nil
		}
		if minute >= 20 && minute < 23 {
			continue
		}
		claimed, _, err := b.ClaimDue(b.t.Context(), store.ClaimRequest{Owner: b.replica, Now: now, Ahead: now, Limit: 10},
			func(due store.Due) store.Decision { return policy.Due(due, now) })
		if err != nil {
			b.t.Fatal(err)
		}
		open = append(open, claimed...)
	}
	var reports []store.Progress
	for _, c := range open {
		reports = append(reports, store.Progress{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: c.NotBefore})
	}
	if _, _, err := b.Progress(b.t.Context(), reports); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) end(open []store.Claimed, now time.Time) {
	b.t.Helper()
	var ends []store.Finish
	for _, c := range open {
		ends = append(ends, store.Finish{ExecutionID: c.ExecutionID, JobID: c.JobID, Fence: c.Fence, State: job.StateSucceeded, StartedAt: c.NotBefore, FinishedAt: now})
	}
	if _, err := b.Finish(b.t.Context(), ends); err != nil {
		b.t.Fatal(err)
	}
}

// damage runs statements in which {0} to {29} are the job's due instants.
func (b *bench) damage(statements ...string) {
	b.t.Helper()
	var instants []string
	for minute := range 30 {
		instants = append(instants, fmt.Sprintf("{%d}", minute), fmt.Sprint(b.start.Add(time.Duration(minute)*time.Minute).UnixMicro()))
	}
	replace := strings.NewReplacer(instants...)
	for _, statement := range statements {
		if _, err := b.raw.ExecContext(b.t.Context(), replace.Replace(statement)); err != nil {
			b.t.Fatalf("%s: %v", statement, err)
		}
	}
}

func (b *bench) check(edit ...func(*doctor.Options)) doctor.Report {
	b.t.Helper()
	o := doctor.DefaultOptions()
	for _, e := range edit {
		e(&o)
	}
	report, err := doctor.Check(context.WithoutCancel(b.t.Context()), b, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

// found are the violations as lines: "missing 10-12", by the job's minutes.
func (b *bench) found(r doctor.Report) []string {
	b.t.Helper()
	var lines []string
	for _, v := range r.Violations {
		line := fmt.Sprint(v.Kind, " ", v.From.Sub(b.start).Minutes())
		if !v.Until.IsZero() {
			line += fmt.Sprint("-", v.Until.Sub(b.start).Minutes())
		}
		lines = append(lines, line)
		if v.Job != job.KindJob.Format(b.job.ID) || v.Instance != job.KindInstance.Format(b.instance) || v.Text == "" {
			b.t.Errorf("violation %+v", v)
		}
	}
	return lines
}
