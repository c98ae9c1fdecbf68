package tests

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// On the minute, jobs start at once, once, and as they are defined then.
func TestOnTheMinute(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		onTheMinute(t, harness.Start(t, harness.Options{Flags: harness.Loopback}))
	})
	t.Run("postgres, two replicas", func(t *testing.T) {
		t.Parallel()
		onTheMinute(t, harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: harness.Loopback})...)
	})
}

const (
	// minuteJobs are due at one instant.
	minuteJobs = 50
	// late is what a busy machine is forgiven; an idle one is logged.
	late = time.Second
)

func onTheMinute(t *testing.T, servers ...*harness.Server) {
	sink := harness.NewSink(t)
	tenant := servers[0].NewTenant(t)
	doors := make([]harness.Door, len(servers))
	for i, server := range servers {
		doors[i] = server.As(tenant.Operator.Token).GRPCDoor()
	}
	minutely := func(path string) object {
		return tenant.Job(object{"name": path, "frequencyType": "CRON_BASED", "cronExpression": "* * * * *"}, harness.Get("call", sink.URL+path))
	}
	create := func(path string) string {
		return harness.Text(harness.Must(t, doors[len(doors)-1], "CreateJob", minutely(path)), "id")
	}
	runsAtOnce(t, tenant, sink)

	due := time.Now().Truncate(time.Minute).Add(time.Minute)
	if time.Until(due) < 10*time.Second { // too near to make all jobs before it
		until(t, due)
		due = due.Add(time.Minute)
	}
	for i := range minuteJobs {
		create(fmt.Sprint("/steady/", i))
	}
	paused, edited, deleted := create("/paused"), create("/old"), create("/deleted")
	until(t, due.Add(-1500*time.Millisecond))
	create("/young")
	// By now what is due may be claimed, and waits for its time.
	until(t, due.Add(-300*time.Millisecond))
	harness.Must(t, doors[0], "PauseJob", object{"jobId": paused})
	harness.Must(t, doors[0], "UpdateJob", object{"job": object{"id": edited, "workflow": object{"tasks": []any{harness.Get("call", sink.URL+"/new")}}}})
	harness.Must(t, doors[0], "DeleteJob", object{"jobId": deleted})
	inTime := time.Now().Before(due)

	harness.Wait(t, 20*time.Second, "every job has run", func() bool {
		return len(sink.Of("/new"))+len(sink.Of("/old")) > 0 && len(sink.Of("/young")) > 0 && len(started(sink, due)) >= minuteJobs+2
	})
	judgeMinute(t, sink, due, inTime)
	for _, path := range []string{"/steady/0", "/young"} {
		if got := sink.Of(path); len(got) != 1 {
			t.Errorf("%s ran %d times", path, len(got))
		}
	}
	ledger(t, tenant, due)
}

// until waits for an instant.
func until(t *testing.T, at time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

func started(sink *harness.Sink, due time.Time) []harness.Effect {
	return slices.DeleteFunc(sink.Effects(), func(e harness.Effect) bool { return e.At.Before(due.Add(-10*time.Second)) || e.Path == "/now" })
}

func judgeMinute(t *testing.T, sink *harness.Sink, due time.Time, inTime bool) {
	t.Helper()
	if inTime {
		for _, path := range []string{"/paused", "/old", "/deleted"} {
			if got := sink.Of(path); len(got) > 0 {
				t.Errorf("%s ran although it was changed before: %+v", path, got)
			}
		}
		if len(sink.Of("/new")) != 1 {
			t.Errorf("the edited job ran as %+v, want once", sink.Of("/new"))
		}
	} else {
		t.Log("this machine was too busy to change jobs in the last 300 ms before they are due")
	}
	var lateness []time.Duration
	for _, e := range started(sink, due) {
		lateness = append(lateness, e.At.Sub(due))
		if e.At.Before(due) {
			t.Errorf("%s ran %s too early", e.Path, due.Sub(e.At))
		}
	}
	slices.Sort(lateness)
	worst := lateness[len(lateness)-1]
	t.Logf("%d calls arrived p50 %s, p99 %s, worst %s after the minute", len(lateness), lateness[len(lateness)/2], lateness[len(lateness)*99/100], worst)
	if worst > late {
		t.Errorf("the last call arrived %s after the minute, want at most %s", worst, late)
	}
	sink.Check(t)
}

// runsAtOnce starts a job by hand again and again.
func runsAtOnce(t *testing.T, tenant *harness.Tenant, sink *harness.Sink) {
	t.Helper()
	job := tenant.Create(t, nil, harness.Get("call", sink.URL+"/now"))
	var waits []time.Duration
	for i := range 20 {
		asked := time.Now()
		execution := tenant.Run(t, job)
		harness.Wait(t, 10*time.Second, "the run has reached the outside", func() bool { return len(sink.Of("/now")) > i })
		waits = append(waits, sink.Of("/now")[i].At.Sub(asked))
		if ended := tenant.End(t, execution); ended["state"] != "SUCCEEDED" {
			t.Fatalf("a run ended as %v", ended)
		}
	}
	slices.Sort(waits)
	t.Logf("from RunJob to its call: p50 %s, worst %s", waits[10], waits[19])
	if waits[10] > late {
		t.Errorf("a run starts %s after it was asked for, want at most %s", waits[10], late)
	}
}

// ledger wants exactly one row for the minute of every job that was due.
func ledger(t *testing.T, tenant *harness.Tenant, due time.Time) {
	t.Helper()
	jobs, err := harness.All(t.Context(), tenant.Operator.GRPCDoor(), "ListJobs", "jobs", object{"instanceId": tenant.Instance})
	if err != nil {
		t.Fatal(err)
	}
	window := object{"from": due.UTC().Format(time.RFC3339), "to": due.Add(time.Minute).UTC().Format(time.RFC3339)}
	for _, job := range jobs {
		if job["frequencyType"] == "MANUAL" || job["state"] == "PAUSED" {
			continue
		}
		rows := harness.List(harness.Must(t, tenant.Operator.GRPCDoor(), "ListOccurrences", object{"jobId": job["id"], "from": window["from"], "to": window["to"]}), "occurrences")
		if len(rows) != 1 || rows[0]["outcome"] != "STARTED" || rows[0]["executionId"] == nil {
			t.Errorf("the minute of %v is told as %v", job["name"], rows)
		}
	}
}
