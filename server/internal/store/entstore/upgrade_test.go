package entstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// firstReleased is the last migration of the first version that anybody may
// have data of.
const firstReleased = "20261122150736_turns.sql"

// migrateTo brings an empty database to the state of an earlier version.
func migrateTo(t *testing.T, s *Store, last string) {
	t.Helper()
	known, err := s.migrations()
	if err != nil {
		t.Fatal(err)
	}
	upTo := slices.Index(names(known), last) + 1
	if upTo == 0 || upTo == len(known) {
		t.Fatalf("%s is migration %d of %d: there is nothing to upgrade from", last, upTo, len(known))
	}
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := s.lockPending(t.Context(), tx, known); err != nil {
		t.Fatal(err)
	}
	for _, m := range known[:upTo] {
		if err := m.apply(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// insert adds a row as an earlier version did, and answers its id.
func (s *Store) insert(t *testing.T, table string, row map[string]any) (id int64) {
	t.Helper()
	var columns, places []string
	var values []any
	for column, value := range row {
		columns, values = append(columns, `"`+column+`"`), append(values, value)
		places = append(places, fmt.Sprint("$", len(values)))
	}
	statement := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) RETURNING id", table, strings.Join(columns, ", "), strings.Join(places, ", "))
	if err := s.db.QueryRowContext(t.Context(), statement, values...).Scan(&id); err != nil {
		t.Fatalf("insert into %s: %v", table, err)
	}
	return id
}

// old is what an earlier version has stored.
type old struct {
	noon                                     time.Time
	instance, held, resource, config, client int64
	due, paused, waiting, lost, heldJob      int64
	ended, queued, running                   int64
}

func fillOld(t *testing.T, s *Store) old {
	t.Helper()
	o := old{noon: time.Now().UTC().Add(-time.Minute).Truncate(time.Minute)}
	at := micros(o.noon)
	hour := time.Hour.Microseconds()
	o.instance = s.insert(t, "instances", map[string]any{"title": "Tenant", "description": "d", "created_at": at})
	o.held = s.insert(t, "instances", map[string]any{
		"title": "Held", "description": "", "created_at": at, "paused_at": at - hour, "paused_until": 0, "pause_reason": "moving", "pause_actor": "ada",
	})
	o.resource = s.insert(t, "resources", map[string]any{"title": "Drive", "description": "", "created_at": at, "instance_id": o.instance})
	o.config = s.insert(t, "resource_configs", map[string]any{
		"name": "disk", "type": "s3", "keys": `["region"]`, "version": 3, "key_id": 77, "ciphertext": []byte{1, 2, 3}, "updated_at": at, "resource_id": o.resource,
	})
	o.client = s.insert(t, "clients", map[string]any{"title": "c", "scopes": `["operator"]`, "secret_hash": []byte{9}, "secret_version": 1, "created_at": at})
	s.insert(t, "client_instances", map[string]any{"instance_id": o.instance, "client_id": o.client})
	add := func(instance int64, name string, schedule map[string]any) int64 {
		id := s.insert(t, "jobs", map[string]any{
			"name": name, "description": "", "workflow": `{"tasks":[{"name":"a","type":"util.noop"}]}`, "labels": `{"team":"a"}`,
			"version": 2, "created_at": at - 2*hour, "updated_at": at - hour, "instance_id": instance,
		})
		row := map[string]any{
			"id": id, "instance_id": instance, "active": true, "next_run": 0, "type": "CRON_BASED", "cron": "0 * * * *", "minutes": 0, "time_zone": "UTC",
			"anchor": at - 2*hour, "policies": `{"overlap":"ALLOW"}`, "version": 2, "fence": 5, "priority": 1,
		}
		for column, value := range schedule {
			row[column] = value
		}
		s.insert(t, "schedules", row)
		return id
	}
	o.due = add(o.instance, "due", map[string]any{"next_run": at})
	o.paused = add(o.instance, "paused", map[string]any{"active": false, "paused_at": at - hour})
	o.waiting = add(o.instance, "waiting", map[string]any{"next_run": at + 9*hour})
	o.lost = add(o.instance, "lost", map[string]any{"next_run": at + 9*hour})
	o.heldJob = add(o.held, "held", map[string]any{"held_at": at - hour})
	s.insert(t, "job_resources", map[string]any{"job_id": o.due, "resource_id": o.resource})
	execute := func(jobID int64, change map[string]any) int64 {
		row := map[string]any{
			"job_id": jobID, "instance_id": o.instance, "trigger": "SCHEDULE", "trigger_id": "", "scheduled_for": at - hour, "not_before": at - hour,
			"waits": false, "created_at": at - hour, "owner": 0, "state": "QUEUED", "attempt": 0, "fence": 4, "first_started_at": 0, "started_at": 0,
			"error": "", "tasks": "", "log_bytes": 0,
		}
		for column, value := range change {
			row[column] = value
		}
		return s.insert(t, "active_executions", row)
	}
	// An ended one was an active one before.
	o.ended = execute(o.due, map[string]any{"scheduled_for": at - 2*hour})
	_, err := s.db.ExecContext(t.Context(), `INSERT INTO executions
SELECT id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, created_at, created_at + 1, 'FAILED', 1, 4,
  '{"reason":"X","message":"m"}', '[{"name":"a","state":"FAILED"}]', 12 FROM active_executions WHERE id = $1`, o.ended)
	if err == nil {
		_, err = s.db.ExecContext(t.Context(), "DELETE FROM active_executions WHERE id = $1", o.ended)
	}
	if err != nil {
		t.Fatal(err)
	}
	replica := s.insert(t, "replicas", map[string]any{"name": "gone", "session": "x", "role": "", "started_at": at - hour, "lease_until": at - hour/2})
	o.running = execute(o.lost, map[string]any{"state": "RUNNING", "owner": replica, "attempt": 1, "started_at": at - hour, "first_started_at": at - hour})
	o.queued = execute(o.waiting, nil)
	s.insert(t, "skips", map[string]any{
		"job_id": o.due, "instance_id": o.instance, "reason": "OVERLAP", "first": at - 4*hour, "last": at - 3*hour, "count": 2, "blocked_by": o.ended,
	})
	return o
}

// A database that the first version has filled is migrated whole: what it holds
// reads, and runs on.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		migrateTo(t, s, firstReleased)
		o := fillOld(t, s)
		if applied, err := s.Migrate(t.Context()); err != nil || len(applied) == 0 {
			t.Fatalf("applied %v, %v", applied, err)
		}
		o.reads(t, s)
		o.runs(t, s)
	})
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func (o old) reads(t *testing.T, s *Store) {
	t.Helper()
	page := store.Page{Limit: 100}
	var found []int64
	for _, j := range must(s.Jobs(t.Context(), o.instance, page))(t) {
		found = append(found, j.ID)
	}
	if diff := cmp.Diff([]int64{o.lost, o.waiting, o.paused, o.due}, found); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	j := must(s.Job(t.Context(), o.due))(t)
	if !j.NextRun.Equal(o.noon) || j.Labels["team"] != "a" || j.Policies.Overlap != job.OverlapAllow || j.Version != 2 || !slices.Equal(j.ResourceIDs, []int64{o.resource}) {
		t.Errorf("a job reads as %+v", j)
	}
	if j := must(s.Job(t.Context(), o.paused))(t); j.Active || j.Pause == nil || !j.Pause.Since.Equal(o.noon.Add(-time.Hour)) {
		t.Errorf("a paused job reads as %+v", j)
	}
	if j := must(s.Job(t.Context(), o.heldJob))(t); j.Hold == nil || j.Hold.Reason != "moving" || j.Hold.Actor != "ada" {
		t.Errorf("a job of a paused instance reads as %+v", j)
	}
	remote := must(s.Remote(t.Context(), o.resource, "disk"))(t)
	if remote.Type != "s3" || remote.KeyID != 77 || !slices.Equal(remote.Ciphertext, []byte{1, 2, 3}) {
		t.Errorf("a config reads as %+v", remote)
	}
	if !must(s.Linked(t.Context(), o.client, o.instance))(t) {
		t.Error("a client has lost its instance")
	}
	var states []string
	for _, e := range must(s.ExecutionsOfInstance(t.Context(), o.instance, page))(t) {
		states = append(states, fmt.Sprint(e.ID, " ", e.State))
	}
	want := []string{fmt.Sprint(o.queued, " QUEUED"), fmt.Sprint(o.running, " RUNNING"), fmt.Sprint(o.ended, " FAILED")}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("executions (-want +got):\n%s", diff)
	}
	if e := must(s.Execution(t.Context(), o.ended))(t); e.Error == nil || e.Error.Reason != "X" || len(e.Tasks) != 1 || e.LogBytes != 12 {
		t.Errorf("an ended execution reads as %+v", e)
	}
	if rows := must(s.SkipsBetween(t.Context(), o.due, o.noon.Add(-24*time.Hour), o.noon, 10))(t); len(rows) != 1 || rows[0].Count != 2 || rows[0].BlockedBy != o.ended {
		t.Errorf("the ledger reads as %+v", rows)
	}
}

func (o old) runs(t *testing.T, s *Store) {
	t.Helper()
	self, _, err := s.Register(t.Context(), "new", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	lost := must(s.Bury(t.Context(), self.ID, 0))(t)
	if len(lost) != 1 || lost[0].ExecutionID != o.running {
		t.Fatalf("lost %+v, want execution %d", lost, o.running)
	}
	req := store.ClaimRequest{Owner: self.ID, Now: o.noon, Ahead: o.noon, Limit: 10}
	queued, _, err := s.ClaimQueued(t.Context(), req)
	if err != nil || len(queued) != 1 || queued[0].ExecutionID != o.queued {
		t.Fatalf("claimed %+v, %v, want execution %d", queued, err, o.queued)
	}
	var told []int64
	due, _, err := s.ClaimDue(t.Context(), req, func(d store.Due) store.Decision {
		told = append(told, d.JobID)
		if d.Hold != nil {
			return store.Decision{Next: d.NextRun.Add(1000 * time.Hour)}
		}
		return store.Decision{Starts: []store.Start{{ScheduledFor: d.NextRun, NotBefore: d.NextRun}}, Next: d.NextRun.Add(time.Hour)}
	})
	if slices.Sort(told); err != nil || !slices.Equal(told, []int64{o.due, o.heldJob}) {
		t.Fatalf("%v came due, %v, want %d and %d", told, err, o.due, o.heldJob)
	}
	if len(due) != 1 || due[0].JobID != o.due || due[0].ExecutionID <= max(o.ended, o.running, o.queued) {
		t.Fatalf("claimed %+v, want job %d under a new id", due, o.due)
	}
	var ends []store.Finish
	for _, c := range append(append(due, queued...), lost[0].Claimed) {
		ends = append(ends, store.Finish{
			ExecutionID: c.ExecutionID, JobID: c.JobID, Fence: c.Fence, Mark: c.Mark, State: job.StateSucceeded, StartedAt: o.noon, FinishedAt: o.noon,
		})
	}
	if stale, err := s.Finish(t.Context(), ends); err != nil || len(stale) > 0 {
		t.Errorf("ended with %v stale, %v", stale, err)
	}
	for _, end := range ends {
		if e := must(s.Execution(t.Context(), end.ExecutionID))(t); e.State != job.StateSucceeded {
			t.Errorf("execution %d ended %s", e.ID, e.State)
		}
	}
	if j := must(s.Job(t.Context(), o.due))(t); !j.NextRun.Equal(o.noon.Add(time.Hour)) {
		t.Errorf("the job runs next at %s", j.NextRun)
	}
}
