package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var freshnessTests = tests{
	"streaks and freshness are kept": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		w := failing(j.InstanceID)
		w.Events = append(w.Events, job.EventNotFresh)
		w = newWebhook(t, s, w)
		look := lookOnce(t, s, j.InstanceID, store.NoticeStep{Freshness: []job.Freshness{{WebhookID: w.ID, JobID: j.ID, Since: noon, Due: noon.AddDate(-10, 0, 0)}}})
		same(t, "looked at", look.Looked, []int64{j.ID})
		look = lookOnce(t, s, j.InstanceID, store.NoticeStep{})
		if len(look.Freshness) != 1 || !look.Freshness[0].Since.Equal(noon) {
			t.Fatalf("due are %+v, want the one", look.Freshness)
		}
		row := look.Freshness[0]
		row.Due, row.Stale = time.Time{}, true
		lookOnce(t, s, j.InstanceID, store.NoticeStep{Freshness: []job.Freshness{row}})
		idle(t, s, j.InstanceID)
		history(t, s, j.ID, 1)
		look = lookOnce(t, s, j.InstanceID, store.NoticeStep{Streaks: map[int64]int{j.ID: 3}})
		same(t, "freshness of an ended job", look.Freshness, []job.Freshness{row})
		enqueue(t, s, j.ID, noon.Add(time.Hour))
		finish(t, s, claimQueued(t, s, noon.Add(time.Hour))[0], job.StateSucceeded, noon, noon.Add(time.Hour))
		look = lookOnce(t, s, j.InstanceID, store.NoticeStep{Streaks: map[int64]int{j.ID: 0}, Dropped: []int64{row.ID}})
		same(t, "streak", look.Streaks, map[int64]int{j.ID: 3})
	},
	"freshness stands still while somebody has paused the job": func(t *testing.T, s store.Store) {
		const never = 100 * 365 * 24 * time.Hour
		for _, test := range []struct {
			actor        string
			since, stood time.Duration
			// untilThen says that it ends by itself.
			untilThen bool
		}{
			{"client_3", 0, time.Hour, false},
			{"client_3", 45 * time.Minute, 45 * time.Minute, false}, // a success in the pause
			{"client_3", 0, time.Hour, true},
			{job.ActorSystem, 0, 0, false},
		} {
			j := newJob(t, s)
			w := failing(j.InstanceID)
			w.Events = []job.NoticeEvent{job.EventNotFresh}
			w = newWebhook(t, s, w)
			lookOnce(t, s, j.InstanceID, store.NoticeStep{Freshness: []job.Freshness{{WebhookID: w.ID, JobID: j.ID, Since: noon.Add(test.since), Due: noon.Add(never)}}})
			begin, end := noon.Add(30*time.Minute), noon.Add(90*time.Minute)
			set := func(at time.Time, change func(*job.Job)) {
				must(s.UpdateJob(t.Context(), j.ID, store.At(at), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
					change(j)
					return true, nil, nil
				}))(t)
			}
			set(begin, func(j *job.Job) {
				j.Active, j.NextRun, j.PausedAt, j.Pause = false, time.Time{}, begin, &job.Pause{Actor: test.actor, Since: begin}
				if test.untilThen {
					j.Pause.Until = end
				}
			})
			if test.untilThen {
				tick(t, s, end)
			} else {
				set(end, func(j *job.Job) { j.Active, j.PausedAt, j.Pause = true, time.Time{}, nil })
			}
			history(t, s, j.ID, 1)
			row := lookOnce(t, s, j.InstanceID, store.NoticeStep{}).Freshness[0]
			due := noon.Add(never)
			if test.stood > 0 { // it is looked at, now
				due = end
			}
			same(t, fmt.Sprintf("%+v", test), []any{row.Since, row.Stood, row.Due}, []any{noon.Add(test.since), test.stood, due})
		}
	},
	"freshness counts the pauses of an instance before its last one": func(t *testing.T, s store.Store) {
		for since, stood := range map[time.Duration]time.Duration{
			0: 30 * time.Minute, 15 * time.Minute: 25 * time.Minute, 25 * time.Minute: 20 * time.Minute, time.Hour: 0,
		} {
			j := newJob(t, s)
			w := failing(j.InstanceID)
			w.Events = []job.NoticeEvent{job.EventNotFresh}
			w = newWebhook(t, s, w)
			fresh := job.Freshness{WebhookID: w.ID, JobID: j.ID, Since: noon.Add(since), Due: noon.Add(24 * time.Hour)}
			lookOnce(t, s, j.InstanceID, store.NoticeStep{Freshness: []job.Freshness{fresh}})
			pause := func(from, until time.Duration) {
				must(s.PauseInstance(t.Context(), j.InstanceID, store.At(noon.Add(from)), job.Pause{Actor: "client_3", Until: noon.Add(until)}))(t)
			}
			look := func(step store.NoticeStep) job.Freshness {
				history(t, s, j.ID, 1)
				return lookOnce(t, s, j.InstanceID, step).Freshness[0]
			}
			pause(10*time.Minute, 40*time.Minute)
			must(s.ResumeInstance(t.Context(), j.InstanceID, store.At(noon.Add(20*time.Minute))))(t)
			before := look(store.NoticeStep{})
			pause(30*time.Minute, 40*time.Minute)
			pause(35*time.Minute, 50*time.Minute) // is one with that before
			pause(2*time.Hour, 3*time.Hour)
			// What was read before doesn't undo it.
			look(store.NoticeStep{Freshness: []job.Freshness{before}})
			row := look(store.NoticeStep{})
			same(t, fmt.Sprintf("after %s", since), []any{row.Since, row.Stood}, []any{fresh.Since, stood})
		}
	},
}
