package notice_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/notice"
	"github.com/pointscene/carillon/server/internal/store"
)

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

// hears is a webhook with an id.
func hears(id int64, h job.Hearing) job.Webhook {
	return job.Webhook{ID: id, InstanceID: 1, Enabled: true, HeardSince: noon, Hearing: h}
}

func events(list ...job.NoticeEvent) job.Hearing { return job.Hearing{Events: list} }

// outcomes are executions of a job that ended one after the other: S, F, P
// (partially), C and L (lost).
func outcomes(jobID int64, letters string) (list []job.Execution) {
	states := map[rune]job.State{'S': job.StateSucceeded, 'F': job.StateFailed, 'P': job.StatePartiallySucceeded, 'C': job.StateCancelled, 'L': job.StateWorkerLost}
	for i, letter := range letters {
		list = append(list, job.Execution{ID: int64(i + 1), JobID: jobID, State: states[letter], FinishedAt: noon.Add(time.Duration(i) * time.Minute)})
	}
	return list
}

// told is what follows: event, execution and receivers.
func told(step store.NoticeStep) (list []string) {
	for _, n := range step.Notices {
		list = append(list, fmt.Sprint(n.Event, " ", n.ExecutionID, " ", n.WebhookIDs))
	}
	return list
}

func TestFailuresInARow(t *testing.T) {
	t.Parallel()
	first := hears(1, events(job.EventFirstFailure, job.EventRecovered))
	third := hears(2, job.Hearing{Events: []job.NoticeEvent{job.EventNthFailure, job.EventRecovered}, FailuresInARow: 3})
	for name, test := range map[string]struct {
		before int
		ends   string
		want   []string
		streak int
	}{
		"a success":             {0, "S", nil, 0},
		"the first":             {0, "F", []string{"FIRST_FAILURE 1 [1]"}, 1},
		"not the second":        {1, "F", nil, 2},
		"the third":             {2, "F", []string{"NTH_FAILURE 1 [2]"}, 3},
		"not the fourth":        {3, "F", nil, 4},
		"what counts":           {0, "PLC", []string{"FIRST_FAILURE 1 [1]"}, 2},
		"a recovery":            {2, "S", []string{"RECOVERED 1 [1]"}, 0},
		"a recovery for both":   {3, "S", []string{"RECOVERED 1 [1 2]"}, 0},
		"all of it in one look": {0, "FFFSFS", []string{"FIRST_FAILURE 1 [1]", "NTH_FAILURE 3 [2]", "RECOVERED 4 [1 2]", "FIRST_FAILURE 5 [1]", "RECOVERED 6 [1]"}, 0},
	} {
		look := store.NoticeLook{
			InstanceID: 1, Now: noon, Webhooks: []job.Webhook{first, third}, Ended: outcomes(7, test.ends),
			Streaks: map[int64]int{7: test.before}, Jobs: map[int64]job.Job{7: {ID: 7}},
		}
		step := notice.Deriver{}.Derive(look)
		if diff := cmp.Diff(test.want, told(step)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if step.Streaks[7] != test.streak {
			t.Errorf("%s: the streak is %d, want %d", name, step.Streaks[7], test.streak)
		}
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	look := store.NoticeLook{
		InstanceID: 1, Now: noon, Ended: append(outcomes(7, "F"), outcomes(8, "F")...), Streaks: map[int64]int{},
		Jobs: map[int64]job.Job{7: {ID: 7, Labels: map[string]string{"team": "a", "tier": "1"}}, 8: {ID: 8}},
		Webhooks: []job.Webhook{
			hears(1, events(job.EventFirstFailure)),
			hears(2, job.Hearing{Events: []job.NoticeEvent{job.EventFirstFailure}, JobIDs: []int64{8}}),
			hears(3, job.Hearing{Events: []job.NoticeEvent{job.EventFirstFailure}, Labels: map[string]string{"team": "a"}}),
			hears(4, job.Hearing{Events: []job.NoticeEvent{job.EventFirstFailure}, Labels: map[string]string{"team": "b"}}),
			hears(5, events(job.EventRecovered)),
		},
	}
	got := told(notice.Deriver{}.Derive(look))
	if want := []string{"FIRST_FAILURE 1 [1 3]", "FIRST_FAILURE 1 [1 2]"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestWhatLasts(t *testing.T) {
	t.Parallel()
	look := store.NoticeLook{
		InstanceID: 1, Now: noon, Streaks: map[int64]int{},
		Webhooks:  []job.Webhook{hears(1, events(job.EventApprovalNeeded, job.EventPausedBySystem, job.EventReauthRequired)), hears(2, job.Hearing{Events: []job.NoticeEvent{job.EventReauthRequired}, JobIDs: []int64{8}})},
		Approvals: []job.Execution{{ID: 3, JobID: 7, Attempt: 1, State: job.StateAwaitingApproval}},
		Paused:    []int64{7},
		Refused:   []store.RefusedRemote{{ID: 5, ResourceID: 6, Name: "drive", Refusal: job.Refusal{Reason: "expired", Since: noon}, JobIDs: []int64{7}}},
		Jobs:      map[int64]job.Job{7: {ID: 7, Name: "nightly", Version: 4, Pause: &job.Pause{Actor: job.ActorSystem, Reason: "3 executions in a row"}}},
	}
	step := notice.Deriver{PublicURL: "https://carillon.example/"}.Derive(look)
	want := []string{"APPROVAL_NEEDED 3 [1]", "PAUSED_BY_SYSTEM 0 [1]", "REAUTH_REQUIRED 0 [1]"}
	if got := told(step); !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
	var body notice.Body
	if err := json.Unmarshal([]byte(step.Notices[1].Body), &body); err != nil {
		t.Fatal(err)
	}
	wantBody := notice.Body{Type: job.EventPausedBySystem, Timestamp: noon, Data: notice.Data{
		InstanceID: "inst_1", JobID: "job_7", JobName: "nightly", Message: "3 executions in a row", URL: "https://carillon.example/#/job/job_7",
	}}
	if diff := cmp.Diff(wantBody, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if !strings.Contains(step.Notices[2].Body, `"remote":"drive"`) || !strings.Contains(step.Notices[2].Body, `"jobIds":["job_7"]`) {
		t.Errorf("body of the refusal is %s", step.Notices[2].Body)
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	hourly := job.Job{ID: 7, Active: true, CreatedAt: noon.Add(-time.Hour), Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 60, TimeZone: "UTC", Anchor: noon}}
	w := hears(1, events(job.EventNotFresh, job.EventFresh))
	look := func(now time.Time, j job.Job, rows ...job.Freshness) store.NoticeLook {
		return store.NoticeLook{InstanceID: 1, Now: now, Webhooks: []job.Webhook{w}, Jobs: map[int64]job.Job{7: j}, Freshness: rows, Streaks: map[int64]int{}}
	}
	limit := 2*time.Hour + 5*time.Minute
	seen := look(noon, hourly)
	seen.Looked = []int64{7}
	row := one(t, notice.Deriver{}.Derive(seen).Freshness)
	if !row.Since.Equal(noon) || !row.Due.Equal(noon.Add(limit)) {
		t.Fatalf("first seen as %+v", row)
	}
	row.ID = 9
	step := notice.Deriver{}.Derive(look(row.Due, hourly, row))
	stale := one(t, step.Freshness)
	if got := told(step); !slices.Equal(got, []string{"NOT_FRESH 0 [1]"}) || !stale.Stale || !stale.Due.IsZero() {
		t.Fatalf("when due: %q, %+v", got, stale)
	}
	paused := hourly
	paused.Active, paused.Pause = false, &job.Pause{Actor: "client_1"}
	step = notice.Deriver{}.Derive(look(row.Due, paused, row))
	if moved := one(t, step.Freshness); len(step.Notices) > 0 || moved.Stale || !moved.Due.After(row.Due) {
		t.Errorf("paused by somebody: %q, %+v", told(step), moved)
	}
	// An hour of the job's own pause and half an hour of its instance's are over.
	stood, held := row, hourly
	stood.Stood = time.Hour
	held.Hold = &job.Pause{Actor: "client_1", Since: noon.Add(10 * time.Minute), Until: noon.Add(40 * time.Minute)}
	later := one(t, notice.Deriver{}.Derive(look(row.Due, held, stood)).Freshness)
	if !later.Since.Equal(noon) || !later.Due.Equal(row.Due.Add(90*time.Minute)) {
		t.Errorf("after two pauses: %+v", later)
	}
	step = notice.Deriver{}.Derive(look(later.Due, held, later))
	if got := told(step); !slices.Equal(got, []string{"NOT_FRESH 0 [1]"}) || !strings.Contains(step.Notices[0].Body, `"lastSuccess":"`+noon.Format(time.RFC3339)) {
		t.Errorf("when due after two pauses: %q", got)
	}
	lasting := hourly
	lasting.Hold = &job.Pause{Actor: "client_1", Since: noon, Until: row.Due.Add(time.Minute)}
	if looked := one(t, notice.Deriver{}.Derive(look(row.Due, lasting, row)).Freshness); !looked.Due.Equal(lasting.Hold.Until) {
		t.Errorf("while its instance is paused: %+v", looked)
	}
	paused.Pause = &job.Pause{Actor: job.ActorSystem}
	if got := told(notice.Deriver{}.Derive(look(row.Due, paused, row))); len(got) != 1 {
		t.Errorf("paused by the service: %q", got)
	}
	again := look(noon.Add(4*time.Hour), hourly, stale)
	again.Ended = outcomes(7, "S")
	again.Ended[0].FinishedAt = noon.Add(3 * time.Hour)
	step = notice.Deriver{}.Derive(again)
	fresh := one(t, step.Freshness)
	if got := told(step); !slices.Equal(got, []string{"FRESH 1 [1]"}) || fresh.Stale || !fresh.Due.Equal(noon.Add(3*time.Hour+limit)) {
		t.Errorf("after a success: %q, %+v", got, fresh)
	}
	gone := look(row.Due, hourly, row)
	gone.Jobs = nil
	if step := (notice.Deriver{}).Derive(gone); !slices.Equal(step.Dropped, []int64{9}) {
		t.Errorf("of a job that is gone %v is dropped", step.Dropped)
	}
}

func one(t *testing.T, rows []job.Freshness) job.Freshness {
	t.Helper()
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	return rows[0]
}

func TestDerived(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		schedule job.Schedule
		want     time.Duration
	}{
		"by hand":          {job.Schedule{Type: job.Manual}, 0},
		"working days":     {job.Schedule{Type: job.CronBased, Cron: "0 9 * * 1-5", TimeZone: "UTC"}, 2*72*time.Hour + 5*time.Minute},
		"never again":      {job.Schedule{Type: job.CronBased, Cron: "0 9 * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{End: noon}}, 0},
		"every 10 minutes": {job.Schedule{Type: job.IntervalBased, IntervalMinutes: 10, TimeZone: "UTC", Anchor: noon}, 25 * time.Minute},
	} {
		if got := notice.Derived(job.Job{ID: 1, Schedule: test.schedule}, noon); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
