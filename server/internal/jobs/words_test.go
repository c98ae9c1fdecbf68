package jobs

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
)

// worded is a wording at 04 12:00:30.5 for an hourly schedule.
func worded(t *testing.T, jitter time.Duration) wording {
	t.Helper()
	times, err := compile(job.Job{ID: 1, Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{Jitter: jitter}}})
	if err != nil {
		t.Fatal(err)
	}
	return wording{times: times, now: at(t, "04 12:00:30.5")}
}

func TestExecutionsInWords(t *testing.T) {
	t.Parallel()
	lost := &job.Failure{Code: "UNAVAILABLE", Reason: "WORKER_LOST", Message: "The replica\ndied."}
	type x = job.Execution
	for want, e := range map[string]x{
		"2026-05-04 11:00 UTC: started 0.7 ms late as exec_2, succeeded after 1.5 s.": {
			State: job.StateSucceeded, StartedAt: at(t, "04 11:00:00").Add(700 * time.Microsecond), FinishedAt: at(t, "04 11:00:01.5").Add(700 * time.Microsecond)},
		"2026-05-04 11:00 UTC: started 0 ms late as exec_2, has been running for 1 h 1 min.": {
			State: job.StateRunning, StartedAt: at(t, "04 11:00:00")},
		"2026-05-04 11:00 UTC: started 25 s late as exec_2, was cancelled after 1 min 5 s: CANCELLED, cancelled by operator.": {
			State: job.StateCancelled, StartedAt: at(t, "04 11:00:25"), FinishedAt: at(t, "04 11:01:30"), Error: &job.Failure{Reason: "CANCELLED", Message: "cancelled by operator"}},
		"2026-05-04 11:00 UTC: taken up 45 min after its time, started 1 ms later as exec_2, failed after 0.4 ms: TASK_FAILED.": {
			State: job.StateFailed, CreatedAt: at(t, "04 11:45:00"), StartedAt: at(t, "04 11:45:00.001"), FinishedAt: at(t, "04 11:45:00.001").Add(400 * time.Microsecond), Error: &job.Failure{Reason: "TASK_FAILED"}},
		"2026-05-04 11:00 UTC: started 30 min before its time as exec_2, succeeded in part after 2 s: X, one of two.": {
			State: job.StatePartiallySucceeded, CreatedAt: at(t, "04 10:30:00"), StartedAt: at(t, "04 10:30:00"), FinishedAt: at(t, "04 10:30:02"), Error: &job.Failure{Reason: "X", Message: "one of two."}},
		"2026-05-04 11:00 UTC: exec_2 started its attempt 3 10 min 5 s late, was lost with the server that ran it after 1 s: WORKER_LOST, The replica died.": {
			State: job.StateWorkerLost, Attempt: 3, StartedAt: at(t, "04 11:10:05"), FinishedAt: at(t, "04 11:10:06"), Error: lost},
		"2026-05-04 11:00 UTC: exec_2 never started, was cancelled.":                                           {State: job.StateCancelled, FinishedAt: at(t, "04 11:10:06")},
		"2026-05-04 11:00 UTC: waits to start as exec_2.":                                                      {State: job.StateQueued},
		"2026-05-04 11:00 UTC: exec_2 failed in attempt 2 (X, no luck) and waits for the next one.":            {State: job.StateQueued, Attempt: 2, StartedAt: at(t, "04 11:00:00"), Error: &job.Failure{Reason: "X", Message: "no luck"}},
		"2026-05-04 11:00 UTC: exec_2 failed in attempt 2 (for an unknown reason) and waits for the next one.": {State: job.StateQueued, Attempt: 2},
		"2026-05-04 11:00 UTC: exec_2 failed in attempt 2 (X) and waits for the next one, in 9.5 s.":           {State: job.StateQueued, Attempt: 2, Error: &job.Failure{Reason: "X"}, ReadyAt: at(t, "04 12:00:40")},
		"2026-05-04 11:00 UTC: waits to start as exec_2, for 10.5 s because no place is free.":                 {State: job.StateQueued, ReadyAt: at(t, "04 12:00:20")},
		"2026-05-04 11:00 UTC: started 0 ms late as exec_2, was asked to end and has not let go yet.":          {State: job.StateCancelling, StartedAt: at(t, "04 11:00:00")},
		"2026-05-04 11:00 UTC: started 0 ms late as exec_2, waits for approval.":                               {State: job.StateAwaitingApproval, StartedAt: at(t, "04 11:00:00")},
		"2026-05-04 13:00 UTC: is next, as exec_2.":                                                            {State: job.StateQueued, Attempt: 1, ScheduledFor: at(t, "04 13:00:00")},
		"2026-05-04 11:59:58 UTC: run by hand, started 2.1 ms late as exec_2, succeeded after 1 s.": {
			Trigger: job.TriggerManual, TriggerID: "r", State: job.StateSucceeded, ScheduledFor: at(t, "04 11:59:58.25"),
			StartedAt: at(t, "04 11:59:58.25").Add(2100 * time.Microsecond), FinishedAt: at(t, "04 11:59:59.25").Add(2100 * time.Microsecond)},
		"2026-05-04 11:00 UTC: run again by backfill_4, started at 2026-05-04 11:59:58 UTC as exec_2, succeeded after 1 s.": {
			Trigger: job.TriggerBackfill, TriggerID: "backfill_4", State: job.StateSucceeded, StartedAt: at(t, "04 11:59:58"), FinishedAt: at(t, "04 11:59:59")},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			e.ID = 2
			if e.ScheduledFor.IsZero() {
				e.ScheduledFor = at(t, "04 11:00:00")
			}
			if e.CreatedAt.IsZero() {
				e.CreatedAt = e.ScheduledFor.Add(-400 * time.Millisecond)
			}
			if e.Trigger == "" {
				e.Trigger = job.TriggerSchedule
			}
			if got := worded(t, 0).execution(e); got != want {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestJitterInWords(t *testing.T) {
	t.Parallel()
	w := worded(t, 10*time.Minute)
	slot := at(t, "04 11:00:00")
	fire := w.times.FireAt(slot)
	e := job.Execution{ID: 2, Trigger: job.TriggerSchedule, State: job.StateRunning, ScheduledFor: slot, CreatedAt: slot, StartedAt: fire.Add(time.Millisecond)}
	want := "2026-05-04 11:00 UTC: started with " + span(fire.Sub(slot)) + " of jitter and 1 ms late as exec_2, has been running for " + span(w.now.Sub(e.StartedAt)) + "."
	if got := w.execution(e); got != want || fire.Equal(slot) {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestSkipsInWords(t *testing.T) {
	t.Parallel()
	for want, skip := range map[string]job.Skip{
		"2026-05-04 09:00 UTC: skipped, because exec_5 had not ended.":                                                                                               {Reason: job.SkipOverlap, BlockedBy: 5},
		"2026-05-04 09:00 UTC: skipped, because an earlier execution had not ended.":                                                                                 {Reason: job.SkipOverlap},
		"2026-05-04 09:00 UTC: 3 occurrences from then to 2026-05-04 11:00 UTC were skipped, because exec_5 had not ended.":                                          {Reason: job.SkipOverlap, BlockedBy: 5, Count: 3},
		"2026-05-04 09:00 UTC: 3 occurrences from then to 2026-05-04 11:00 UTC were missed, because nothing ran at that time or no place was free, and not made up.": {Reason: job.SkipMissed, Count: 3},
		"2026-05-04 09:00 UTC: 3 occurrences from then to 2026-05-04 11:00 UTC were skipped, because the job was paused.":                                            {Reason: job.SkipPaused, Count: 3},
		"2026-05-04 09:00 UTC: overtaken by a change of the schedule.":                                                                                               {Reason: job.SkipSuperseded},
		"2026-05-04 09:00 UTC: skipped, because 100 executions of the job waited already.":                                                                           {Reason: job.SkipQuota, BlockedBy: 5},
		"2026-05-04 09:00 UTC: skipped, because the instance had used up its executions of the hour.":                                                                {Reason: job.SkipQuota},
		"2026-05-04 09:00 UTC: 3 occurrences from then to 2026-05-04 11:00 UTC were left out, as the job's excluded dates say.":                                      {Reason: job.SkipExcluded, Count: 3},
		"2026-05-04 09:00 UTC: left out by a caller.":                                                                                                                {Reason: job.SkipByCaller},
		"2026-05-04 09:00 UTC: skipped, because the stored schedule is damaged, and the job has stopped.":                                                            {Reason: policy.SkipInvalid},
		"2026-05-04 09:00 UTC: skipped: NEW.":                                                                                                                        {Reason: "NEW"},
	} {
		skip.First, skip.Last = at(t, "04 09:00:00"), at(t, "04 11:00:00")
		skip.Count = max(1, skip.Count)
		if got := worded(t, 0).skip(skip); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	}
}

func TestWhatIsToComeInWords(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Occurrence{
		"2026-05-04 13:00 UTC: is due, in 59 min 30 s.":                                                                {Outcome: Pending},
		"2026-05-04 12:00 UTC: is due now.":                                                                            {Outcome: Pending, ScheduledFor: at(t, "04 12:00:00")},
		"2026-05-04 13:00 UTC: moved by a caller; it is due at 2026-05-04 14:30:15 UTC, in 2 h 30 min.":                {Outcome: Pending, MovedTo: at(t, "04 14:30:15")},
		"2026-05-04 13:00 UTC: will be left out, as a caller wants it.":                                                {Outcome: Skipped, Reason: job.SkipByCaller},
		"2026-05-04 13:00 UTC: does not run, because the job is paused.":                                               {Outcome: Skipped, Reason: job.SkipPaused},
		"2026-05-04 13:00 UTC: 5 occurrences from then to 2026-05-04 17:00 UTC do not run, because the job is paused.": {Outcome: Skipped, Reason: job.SkipPaused, Count: 5, Until: at(t, "04 17:00:00")},
	} {
		if o.ScheduledFor.IsZero() {
			o.ScheduledFor = at(t, "04 13:00:00")
		}
		o.Count = max(1, o.Count)
		if got := worded(t, 0).toCome(o); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	}
}

func TestSummaries(t *testing.T) {
	t.Parallel()
	const skips, newest = " While an execution has not ended, occurrences are skipped.", " Of what was missed while nothing ran, the newest occurrence of the last 1 d is made up."
	next := at(t, "05 06:30:00")
	for want, edit := range map[string]func(*job.Job){
		"Active. Runs every day at 06:30 UTC; next at 2026-05-05 06:30 UTC." + skips + newest: func(*job.Job) {},
		"Active. Runs only when asked for.": func(j *job.Job) {
			j.Schedule, j.NextRun = job.Schedule{Type: job.Manual, TimeZone: "UTC"}, time.Time{}
		},
		"Paused since 2026-05-01 08:00 UTC by client_3, until somebody resumes it, for the reason \"no power\". Runs every day at 06:30 UTC." + skips + newest: func(j *job.Job) {
			j.Active, j.NextRun = false, time.Time{}
			j.Pause = &job.Pause{Reason: "no power", Actor: "client_3", Since: at(t, "01 08:00:00")}
		},
		"Paused with inst_7 since 2026-05-01 08:00 UTC by operator, until 2026-05-06 00:00 UTC. Runs every day at 06:30 UTC." + skips + newest: func(j *job.Job) {
			j.NextRun = time.Time{}
			j.Pause = &job.Pause{Actor: "operator", Since: at(t, "01 08:00:00"), Until: at(t, "06 00:00:00"), InstanceID: 7}
		},
		"Exhausted: it has made the 5 executions that it may make. Runs every day at 06:30 UTC." + skips + newest: func(j *job.Job) {
			j.NextRun, j.Policies.MaxExecutions, j.Started = time.Time{}, 5, 5
		},
		"Exhausted: its schedule has no further time. Runs every day at 06:30 UTC, until 2026-05-04 00:00 UTC." + skips + newest: func(j *job.Job) {
			j.NextRun, j.Schedule.End = time.Time{}, at(t, "04 00:00:00")
		},
		"Active. Runs every day at 06:30 UTC, from 2026-05-04 20:00 UTC on, but not on 2026-12-24, up to 5 min later by jitter; next at 2026-05-05 06:30 UTC; 2 of at most 5 executions are made. Executions may run side by side. What was missed while nothing ran is not made up.": func(j *job.Job) {
			j.Schedule.Start, j.Schedule.ExcludedDates, j.Schedule.Jitter = at(t, "04 20:00:00"), []string{"2026-12-24"}, 5*time.Minute
			j.Policies.MaxExecutions, j.Started, j.Policies.Overlap, j.Policies.CatchUp = 5, 2, job.OverlapAllow, job.CatchUpNone
		},
		"Active. Runs every day at 06:30 UTC, but not on 2 dates or ranges of dates; next at 2026-05-05 06:30 UTC. While an execution has not ended, one occurrence waits and further ones are skipped. Of what was missed while nothing ran, up to 100 occurrences of the last 2 h are made up.": func(j *job.Job) {
			j.Schedule.ExcludedDates = []string{"2026-12-24", "2026-12-31/2027-01-01"}
			j.Policies.Overlap, j.Policies.CatchUp, j.Policies.CatchUpWindow = job.OverlapBufferOne, job.CatchUpAll, 2*time.Hour
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			j := job.Job{ID: 1, Active: true, NextRun: next, Schedule: job.Schedule{Type: job.CronBased, Cron: "30 6 * * *", TimeZone: "UTC"}, Policies: job.Policies{}.WithDefaults()}
			edit(&j)
			now := at(t, "04 12:00:30.5")
			o, err := look(j, now)
			if err != nil {
				t.Fatal(err)
			}
			if got := summary(j, o, now); got != want {
				t.Errorf("got\n%s", got)
			}
		})
	}
	for _, policy := range []job.OverlapPolicy{job.OverlapSkip, job.OverlapBufferOne, job.OverlapBufferAll, job.OverlapCancelOther, job.OverlapAllow} {
		if overlapWords[policy] == "" {
			t.Errorf("%s has no words", policy)
		}
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                                      "0 ms",
		40 * time.Microsecond:                  "0 ms",
		700 * time.Microsecond:                 "0.7 ms",
		9949 * time.Microsecond:                "9.9 ms",
		9950 * time.Microsecond:                "10 ms",
		999499 * time.Microsecond:              "999 ms",
		999500 * time.Microsecond:              "1 s",
		1540 * time.Millisecond:                "1.5 s",
		59949 * time.Millisecond:               "59.9 s",
		59950 * time.Millisecond:               "1 min",
		90 * time.Second:                       "1 min 30 s",
		time.Hour - time.Second/2:              "1 h",
		2*time.Hour + 5*time.Minute + 29e9:     "2 h 5 min",
		24*time.Hour - time.Second:             "1 d",
		51*time.Hour + 40*time.Minute:          "2 d 4 h",
		-3 * time.Second:                       "-3 s",
		365*24*time.Hour + 3*time.Nanosecond:   "365 d",
		time.Hour - time.Second/2 - 1:          "59 min 59 s",
		59*time.Minute + 30*time.Second:        "59 min 30 s",
		2*time.Minute + 500*time.Millisecond:   "2 min 1 s",
		23*time.Hour + 59*time.Minute + 29*1e9: "23 h 59 min",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
