package tests

import (
	"fmt"
	"slices"
	"strings"
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
	// late is what a busy machine is forgiven; an idle one is logged. Who looks
	// once a minute is later.
	late = 25 * time.Second
)

func onTheMinute(t *testing.T, servers ...*harness.Server) {
	sink := harness.NewSink(t)
	tenant := servers[0].NewTenant(t)
	doors := make([]harness.Door, len(servers))
	for i, server := range servers {
		doors[i] = server.As(tenant.Operator.Token).GRPCDoor()
	}
	runsAtOnce(t, tenant, sink)

	m := &minute{tenant: tenant, door: doors[len(doors)-1], sink: sink}
	for ahead := 10 * time.Second; ; ahead *= 3 { // until all jobs are made before they are due
		m.due = time.Now().UTC().Add(ahead).Truncate(time.Minute).Add(time.Minute)
		m.round++
		for i := range minuteJobs {
			m.create(t, fmt.Sprint("steady/", i))
		}
		if time.Until(m.due) > 5*time.Second {
			break
		}
	}
	paused, edited, deleted := m.create(t, "paused"), m.create(t, "old"), m.create(t, "deleted")
	until(t, m.due.Add(-1500*time.Millisecond))
	m.create(t, "young")
	m.young = time.Now().Before(m.due)
	// By now what is due may be claimed, and waits for its time.
	until(t, m.due.Add(-300*time.Millisecond))
	harness.Must(t, doors[0], "PauseJob", object{"jobId": paused})
	harness.Must(t, doors[0], "UpdateJob", object{"job": object{"id": edited, "workflow": object{"tasks": []any{harness.Get("call", sink.URL+m.path("new"))}}}})
	harness.Must(t, doors[0], "DeleteJob", object{"jobId": deleted})
	m.inTime = time.Now().Before(m.due)
	if !m.inTime {
		t.Log("this machine was too busy to change jobs in the last 300 ms before they are due")
	}

	harness.Wait(t, 20*time.Second, "every job has run", func() bool {
		return len(m.of("new"))+len(m.of("old")) > 0 && (len(m.of("young")) > 0 || !m.young) && len(m.of("steady/")) >= minuteJobs
	})
	m.judge(t)
	m.ledger(t)
}

// minute is one at which jobs are due, once in an hour.
type minute struct {
	tenant *harness.Tenant
	door   harness.Door
	sink   *harness.Sink
	due    time.Time
	// round tells the jobs of a minute from those of one that came too soon.
	round int
	// young and inTime tell whether the last job was made, and others were changed,
	// before it.
	young, inTime bool
}

func (m *minute) path(name string) string { return fmt.Sprintf("/%d/%s", m.round, name) }

func (m *minute) create(t *testing.T, name string) string {
	t.Helper()
	request := m.tenant.Job(minutes{m.due.Minute()}.cron("* * *"), harness.Get("call", m.sink.URL+m.path(name)))
	request["job"].(object)["name"] = m.path(name)
	return harness.Text(harness.Must(t, m.door, "CreateJob", request), "id")
}

// of are the calls of jobs whose names begin so.
func (m *minute) of(name string) []harness.Effect {
	return slices.DeleteFunc(m.sink.Effects(), func(e harness.Effect) bool { return !strings.HasPrefix(e.Path, m.path(name)) })
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

func (m *minute) judge(t *testing.T) {
	t.Helper()
	if m.inTime {
		for _, name := range []string{"paused", "old", "deleted"} {
			if got := m.of(name); len(got) > 0 {
				t.Errorf("%s ran although it was changed before: %+v", name, got)
			}
		}
		if len(m.of("new")) != 1 {
			t.Errorf("the edited job ran as %+v, want once", m.of("new"))
		}
	}
	if m.young && len(m.of("young")) != 1 || len(m.of("steady/")) != minuteJobs {
		t.Errorf("the youngest job ran %d times, %d others %d times", len(m.of("young")), minuteJobs, len(m.of("steady/")))
	}
	var lateness []time.Duration
	for _, e := range m.of("") {
		lateness = append(lateness, e.At.Sub(m.due))
		if e.At.Before(m.due) {
			t.Errorf("%s ran %s too early", e.Path, m.due.Sub(e.At))
		}
	}
	slices.Sort(lateness)
	worst := lateness[len(lateness)-1]
	t.Logf("%d calls arrived p50 %s, p99 %s, worst %s after the minute", len(lateness), lateness[len(lateness)/2], lateness[len(lateness)*99/100], worst)
	if worst > late {
		t.Errorf("the last call arrived %s after the minute, want at most %s", worst, late)
	}
	m.sink.Check(t)
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
func (m *minute) ledger(t *testing.T) {
	t.Helper()
	door := m.tenant.Operator.GRPCDoor()
	jobs, err := harness.All(t.Context(), door, "ListJobs", "jobs", object{"instanceId": m.tenant.Instance})
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs {
		name := harness.Text(job, "name")
		if !strings.HasPrefix(name, m.path("")) || job["state"] == "PAUSED" || name == m.path("young") && !m.young {
			continue
		}
		window := object{"jobId": job["id"], "from": m.due.Format(time.RFC3339), "to": m.due.Add(time.Minute).Format(time.RFC3339)}
		rows := harness.List(harness.Must(t, door, "ListOccurrences", window), "occurrences")
		if len(rows) != 1 || rows[0]["outcome"] != "STARTED" || rows[0]["executionId"] == nil {
			t.Errorf("the minute of %s is told as %v", name, rows)
		}
	}
}
