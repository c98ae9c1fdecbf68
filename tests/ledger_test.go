package tests

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib" // sets times back

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// absence is a job that nobody came by for two days.
type absence struct {
	fields object
	// due tells whether the job is due in a minute; nil for an interval.
	due func(time.Time) bool
	// starts are those of the due instants that are made up, the others are told
	// with a reason.
	starts func(due []time.Time) []time.Time
	reason func(time.Time) string
	// before is done before the absence, after at its end.
	before, after func(t *testing.T, door harness.Door, job string)
	// task is what the job does; nil is nothing.
	task object
	// attempts is how often each execution is tried, 0 for once.
	attempts int
}

// call is one call about a job.
func call(rpc string) func(*testing.T, harness.Door, string) {
	return func(t *testing.T, door harness.Door, job string) {
		t.Helper()
		harness.Must(t, door, rpc, object{"jobId": job})
	}
}

const (
	away = 48 * time.Hour
	// mostCaughtUp is how many occurrences are made up at most.
	mostCaughtUp = 100
	oddInterval  = 77 * time.Minute
)

// absences are jobs under every policy. They are due in ten minutes of each hour
// that are not near the present.
func absences(now time.Time) map[string]absence {
	those := minutesFrom(now.Minute()+40, 10)
	inThose := func(t time.Time) bool { return slices.Contains(those, t.Minute()) }
	cron := func(days string, more object) object {
		fields := those.cron(days)
		for name, value := range more {
			fields[name] = value
		}
		return fields
	}
	missed := func(time.Time) string { return "MISSED" }
	none := func([]time.Time) []time.Time { return nil }
	latest := func(due []time.Time) []time.Time { return newestOf(due, now.Add(-24*time.Hour), 1) }
	yesterday := now.Add(-24 * time.Hour)
	isYesterday := func(t time.Time) bool { return t.YearDay() == yesterday.YearDay() }
	return map[string]absence{
		"latest": {fields: cron("* * *", nil), due: inThose, starts: latest, reason: missed},
		"none":   {fields: cron("* * *", object{"catchUpPolicy": "NONE"}), due: inThose, starts: none, reason: missed},
		"all, capped": {fields: cron("* * *", object{"catchUpPolicy": "ALL", "overlapPolicy": "ALLOW"}), due: inThose, reason: missed,
			starts: func(due []time.Time) []time.Time { return newestOf(due, now.Add(-24*time.Hour), mostCaughtUp) }},
		"all of three hours, one after the other": {fields: cron("* * *", object{"catchUpPolicy": "ALL", "catchUpWindow": "10800s"}), due: inThose, reason: missed,
			starts: func(due []time.Time) []time.Time { return newestOf(due, now.Add(-3*time.Hour), mostCaughtUp) }},
		"too late": {fields: cron("* * *", object{"catchUpWindow": "60s"}), due: inThose, starts: none, reason: missed},
		"one day or the other": {fields: cron(fmt.Sprintf("%d * %d", yesterday.Day(), now.Weekday()), nil), starts: latest, reason: missed,
			due: func(t time.Time) bool {
				return inThose(t) && (t.Day() == yesterday.Day() || t.Weekday() == now.Weekday())
			}},
		"interval": {fields: object{"frequencyType": "INTERVAL_BASED", "intervalMinutes": int(oddInterval.Minutes())}, starts: latest, reason: missed},
		"paused":   {fields: cron("* * *", nil), due: inThose, starts: none, reason: func(time.Time) string { return "PAUSED" }, before: call("PauseJob"), after: call("ResumeJob")},
		"tried again": {fields: cron("* * *", object{"retryPolicy": object{"retryCount": 1, "minBackoff": "1s"}}), due: inThose, starts: latest, reason: missed,
			task: harness.Get("a", "http://127.0.0.1:1/"), attempts: 2},
		"backfilled": {fields: cron("* * *", nil), due: inThose, starts: latest, reason: missed, after: backfillAll(inThose)},
		"rearranged": rearranged(cron("* * *", nil), inThose, now),
		"excluded": {fields: cron("* * *", object{"excludedDates": []any{yesterday.Format(time.DateOnly)}}), due: inThose,
			starts: func(due []time.Time) []time.Time {
				return latest(slices.DeleteFunc(slices.Clone(due), isYesterday))
			},
			reason: func(t time.Time) string {
				if isYesterday(t) {
					return "EXCLUDED"
				}
				return "MISSED"
			}},
	}
}

// minutes are some of an hour.
type minutes []int

// minutesFrom are n minutes from the first on.
func minutesFrom(first, n int) minutes {
	list := make(minutes, n)
	for i := range list {
		list[i] = (first + i) % 60
	}
	return list
}

// cron is a schedule of these minutes of every hour of some days.
func (m minutes) cron(days string) object {
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(m)), " ", ","), "[]")
	return object{"frequencyType": "CRON_BASED", "cronExpression": list + " * " + days}
}

// newestOf are the newest of the due instants since a time, n at most.
func newestOf(due []time.Time, since time.Time, n int) []time.Time {
	due = slices.DeleteFunc(slices.Clone(due), func(t time.Time) bool { return t.Before(since) })
	return due[max(0, len(due)-n):]
}

// After an absence each due instant is told by one row, whatever the policies and
// the database, and alike through every door. What is due is found by a walk over
// the minutes, which knows nothing of the engine.
func TestLedgerOfAnAbsence(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		server := harness.Start(t, harness.Options{Flags: harness.Loopback})
		ledgerOfAnAbsence(t, server, "sqlite", "file:"+filepath.Join(server.DataDir, "carillon.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		database := pgtest.Open(t)
		ledgerOfAnAbsence(t, harness.StartReplicas(t, 1, database, harness.Options{Flags: harness.Loopback})[0], "pgx", database)
	})
}

func ledgerOfAnAbsence(t *testing.T, server *harness.Server, driver, source string) {
	tenant := server.NewTenant(t)
	now := time.Now().UTC()
	all := absences(now)
	jobs := map[string]string{}
	door := tenant.Operator.GRPCDoor()
	for name, a := range all {
		a.fields["name"] = name
		if a.task == nil {
			a.task = harness.Noop("a")
		}
		jobs[name] = tenant.Create(t, a.fields, a.task)
		if a.before != nil {
			a.before(t, door, jobs[name])
		}
	}
	server.Stop(t)
	setBack(t, driver, source, away)
	server = server.Again(t)
	caller := server.As(tenant.Operator.Token)
	for name, a := range all {
		if a.after != nil {
			a.after(t, caller.GRPCDoor(), jobs[name])
		}
		a.check(t, caller, name, jobs[name], now)
	}
	healthy(t, server)
}

// check compares the ledger of a job with the walk.
func (a absence) check(t *testing.T, caller *harness.Caller, name, job string, now time.Time) {
	t.Helper()
	created := timeOf(t, harness.Must(t, caller.GRPCDoor(), "GetJob", object{"jobId": job}), "createdAt")
	due := a.walk(created, now)
	want := map[string]string{}
	for _, at := range due {
		want[at.Format(time.RFC3339)] = a.reason(at)
	}
	for _, at := range a.starts(due) {
		want[at.Format(time.RFC3339)] = "STARTED"
	}
	window := object{"jobId": job, "from": created.Format(time.RFC3339), "to": now.Format(time.RFC3339), "pageSize": 1000}
	var rows []object
	harness.Wait(t, 10*time.Second, "the ledger of "+name+" is told, and what it made has ended", func() bool {
		rows = harness.List(harness.Must(t, caller.GRPCDoor(), "ListOccurrences", window), "occurrences")
		made := harness.List(harness.Must(t, caller.GRPCDoor(), "ListExecutions", object{"jobId": job, "pageSize": 1000}), "executions")
		open := slices.ContainsFunc(made, func(e object) bool {
			return e["finishedAt"] == nil || a.attempts > 0 && fmt.Sprint(e["attempt"]) != fmt.Sprint(a.attempts)
		})
		return len(rows) > 0 && rows[len(rows)-1]["outcome"] != "PENDING" && !open
	})
	if diff := cmp.Diff(want, told(t, due, rows)); diff != "" {
		t.Errorf("the ledger of %q (-walk +told):\n%s", name, diff)
	}
	onAll(t, caller, "ListOccurrences", window)
	onAll(t, caller, "ExplainJob", object{"jobId": job, "from": window["from"], "to": window["to"]})
}

// walk are the due instants between two times.
func (a absence) walk(after, upTo time.Time) (due []time.Time) {
	if a.due == nil {
		for at := after.Truncate(time.Second).Add(oddInterval); !at.After(upTo); at = at.Add(oddInterval) {
			due = append(due, at)
		}
		return due
	}
	for at := after.Truncate(time.Minute).Add(time.Minute); !at.After(upTo); at = at.Add(time.Minute) {
		if a.due(at) {
			due = append(due, at)
		}
	}
	return due
}

// told is what rows say of each instant.
func told(t *testing.T, due []time.Time, rows []object) map[string]string {
	t.Helper()
	said := map[string]string{}
	for _, row := range rows {
		first := timeOf(t, row, "scheduledFor")
		last, count := first, 0
		if row["until"] != nil {
			last = timeOf(t, row, "until")
		}
		what := fmt.Sprint(row["outcome"])
		if what == "SKIPPED" {
			what = fmt.Sprint(row["reason"])
		}
		for _, at := range due {
			if at.Before(first) || at.After(last) {
				continue
			}
			key := at.Format(time.RFC3339)
			if before, twice := said[key]; twice {
				t.Errorf("%s is told twice: %s, %v", key, before, row)
			}
			said[key] = what
			count++
		}
		if fmt.Sprint(row["count"]) != fmt.Sprint(count) {
			t.Errorf("%v stands for %d instants", row, count)
		}
	}
	return said
}

// setBack makes the stored times of a stopped server older, by whole minutes.
func setBack(t *testing.T, driver, source string, by time.Duration) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	today, micros := time.Now().UTC(), by.Microseconds()
	since := func(day time.Time) string { return `"since":"` + day.Format(time.DateOnly) }
	for _, statement := range []string{
		"DELETE FROM executions", "DELETE FROM active_executions",
		fmt.Sprintf("UPDATE schedules SET next_run = next_run - %d WHERE next_run > 0", micros),
		fmt.Sprintf("UPDATE schedules SET anchor = anchor - %d WHERE anchor > 0", micros),
		fmt.Sprintf("UPDATE occurrence_changes SET slot = slot - %d, move_to = CASE WHEN move_to > 0 THEN move_to - %[1]d ELSE move_to END", micros),
		fmt.Sprintf("UPDATE schedules SET paused_at = paused_at - %d WHERE paused_at > 0", micros),
		fmt.Sprintf("UPDATE schedules SET extras = replace(extras, '%s', '%s')", since(today), since(today.Add(-by))),
		fmt.Sprintf("UPDATE jobs SET created_at = created_at - %d, updated_at = updated_at - %[1]d", micros),
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}
