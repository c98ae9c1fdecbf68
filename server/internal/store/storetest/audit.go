package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// event is an event with everything in it.
func event(n int) audit.Event {
	return audit.Event{
		Time: minute(n), Actor: "client_3", TokenID: "t", Scopes: "instance-*", Method: "carillon.v1.JobService/CreateJob", Object: "job_19",
		InstanceID: 4, Peer: "192.0.2.1", RequestID: fmt.Sprint("r", n), Code: "OK", Details: map[string]string{"remote": "s3"},
	}
}

// eventsOf lists what a filter selects, by request id.
func eventsOf(t *testing.T, s store.Store, f audit.Filter) (ids []string) {
	t.Helper()
	for _, e := range must(s.AuditEvents(t.Context(), f, firstPage))(t) {
		ids = append(ids, e.RequestID)
	}
	return ids
}

// pendingEvent is a context for a call that is audited.
func pendingEvent(t *testing.T) (context.Context, *audit.Pending) {
	t.Helper()
	p := audit.NewPending(audit.Event{Actor: "client_3", Method: "carillon.v1.JobService/CreateJob", RequestID: "r"})
	return audit.With(t.Context(), p), p
}

var auditTests = tests{
	"events come back as they were, newest first": func(t *testing.T, s store.Store) {
		ok(t, s.AddAuditEvent(t.Context(), event(1)))
		ok(t, s.AddAuditEvent(t.Context(), audit.Event{Method: "x", Code: "NOT_FOUND"}))
		list := must(s.AuditEvents(t.Context(), audit.Filter{}, firstPage))(t)
		if len(list) != 2 || list[0].ID <= list[1].ID || list[0].Time.IsZero() {
			t.Fatalf("events %+v", list)
		}
		want := event(1)
		want.ID = list[1].ID
		same(t, "event", list[1], want)
	},
	"filters select": func(t *testing.T, s store.Store) {
		for n, edit := range []func(*audit.Event){
			func(*audit.Event) {},
			func(e *audit.Event) { e.InstanceID = 5 },
			func(e *audit.Event) { e.Actor = "operator" },
			func(e *audit.Event) { e.Method = "carillon.v1.JobService/XCreateJob" },
			func(e *audit.Event) { e.Object = "job_190" },
			func(e *audit.Event) { e.Method = audit.OpenConfig },
		} {
			e := event(n)
			edit(&e)
			ok(t, s.AddAuditEvent(t.Context(), e))
		}
		same(t, "instance", eventsOf(t, s, audit.Filter{InstanceID: 5}), []string{"r1"})
		same(t, "instances", eventsOf(t, s, audit.Filter{InstanceIDs: []int64{5, 6}}), []string{"r1"})
		same(t, "no instances", eventsOf(t, s, audit.Filter{InstanceIDs: []int64{}}), []string(nil))
		same(t, "actor", eventsOf(t, s, audit.Filter{Actor: "operator"}), []string{"r2"})
		same(t, "short method", eventsOf(t, s, audit.Filter{Method: "CreateJob"}), []string{"r4", "r2", "r1", "r0"})
		same(t, "whole method", eventsOf(t, s, audit.Filter{Method: "carillon.v1.JobService/CreateJob"}), []string{"r4", "r2", "r1", "r0"})
		same(t, "no service", eventsOf(t, s, audit.Filter{Method: audit.OpenConfig}), []string{"r5"})
		same(t, "a pattern is none", eventsOf(t, s, audit.Filter{Method: "%Job"}), []string(nil))
		same(t, "object", eventsOf(t, s, audit.Filter{Object: "job_190"}), []string{"r4"})
		same(t, "time", eventsOf(t, s, audit.Filter{From: minute(1), To: minute(3)}), []string{"r2", "r1"})
		same(t, "all of it", eventsOf(t, s, audit.Filter{InstanceID: 4, Actor: "client_3", Method: "CreateJob", Object: "job_19", From: minute(0), To: minute(1)}), []string{"r0"})
		page := must(s.AuditEvents(t.Context(), audit.Filter{Actor: "client_3"}, store.Page{Limit: 2}))(t)
		next := must(s.AuditEvents(t.Context(), audit.Filter{Actor: "client_3"}, store.Page{Limit: 2, Before: page[1].ID}))(t)
		if len(page) != 2 || len(next) != 2 || next[0].RequestID != "r3" {
			t.Errorf("pages %+v and %+v", page, next)
		}
	},
	"the event of a change is written with it, once": func(t *testing.T, s store.Store) {
		ctx, p := pendingEvent(t)
		in := must(s.CreateInstance(ctx, job.Instance{}, 0, noRequest))(t)
		if p.Open() {
			t.Error("the event is still to be written")
		}
		_ = must(s.CreateInstance(ctx, job.Instance{}, 0, noRequest))(t)
		list := must(s.AuditEvents(t.Context(), audit.Filter{}, firstPage))(t)
		if len(list) != 1 {
			t.Fatalf("events %+v", list)
		}
		got, want := list[0], p.Event()
		if time.Since(got.Time).Abs() > time.Hour || got.Object != job.KindInstance.Format(in.ID) || got.InstanceID != in.ID {
			t.Errorf("event %+v, want it about %d", got, in.ID)
		}
		want.ID, want.Time, want.Code = got.ID, got.Time, audit.CodeOK
		same(t, "event", got, want)
	},
	"what was not done is not written": func(t *testing.T, s store.Store) {
		ctx, p := pendingEvent(t)
		j := newJob(t, s)
		_, err := s.UpdateJob(ctx, j.ID, store.At(noon), func(*job.Job, time.Time) (bool, []job.Skip, error) { return true, nil, errors.New("no") })
		if err == nil || !p.Open() {
			t.Errorf("error %v, open %v", err, p.Open())
		}
		missing(t, "delete", s.DeleteClient(ctx, 99))
		same(t, "events", eventsOf(t, s, audit.Filter{}), []string(nil))
	},
	"each creation names what it made": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		about := func(do func(context.Context) error) string {
			ctx, p := pendingEvent(t)
			ok(t, do(ctx))
			return p.Event().Object
		}
		var r job.Resource
		var c job.Client
		var j job.Job
		var b job.Backfill
		got := []string{
			about(func(ctx context.Context) (err error) {
				r, err = s.CreateResource(ctx, job.Resource{InstanceID: in.ID}, noRequest)
				return err
			}),
			about(func(ctx context.Context) (err error) {
				c, err = s.CreateClient(ctx, job.Client{SecretHash: []byte("h")})
				return err
			}),
			about(func(ctx context.Context) (err error) { j, err = s.CreateJob(ctx, hourly(in.ID), noRequest); return err }),
			about(func(ctx context.Context) (err error) {
				b, err = s.CreateBackfill(ctx, job.Backfill{JobID: j.ID, From: noon, To: noon.Add(time.Hour), Concurrency: 1, Overlap: job.OverlapAllow, Total: 1}, noRequest)
				return err
			}),
		}
		want := []string{job.KindResource.Format(r.ID), job.KindClient.Format(c.ID), job.KindJob.Format(j.ID), job.KindBackfill.Format(b.ID)}
		same(t, "objects", got, want)
	},
	"old events go in batches": func(t *testing.T, s store.Store) {
		for n := range 5 {
			ok(t, s.AddAuditEvent(t.Context(), event(n)))
		}
		for _, want := range []int{2, 1, 0} {
			if n := must(s.PruneAuditEvents(t.Context(), minute(3), 2))(t); n != want {
				t.Errorf("%d went, want %d", n, want)
			}
		}
		same(t, "left", eventsOf(t, s, audit.Filter{}), []string{"r4", "r3"})
	},
}
