package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var noticeTests = tests{
	"a webhook is made, changed and deleted": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		made, fresh, err := s.CreateWebhook(t.Context(), failing(in.ID), sealedAs("first"), store.Request{Key: "k", Digest: "d"})
		ok(t, err)
		again, freshAgain, err := s.CreateWebhook(t.Context(), failing(in.ID), sealedAs("second"), store.Request{Key: "k", Digest: "d"})
		ok(t, err)
		same(t, "repeat", again, made)
		same(t, "fresh", []bool{fresh, freshAgain}, []bool{true, false})
		same(t, "sealed for its id", string(made.Secrets.Ciphertext), fmt.Sprintf("first %d", made.ID))
		same(t, "instance", must(s.InstanceOf(t.Context(), job.KindWebhook, made.ID))(t), in.ID)
		changed := must(s.UpdateWebhook(t.Context(), made.ID, func(w *job.Webhook, _ time.Time) (bool, error) {
			w.URL = "https://other.example"
			return true, nil
		}))(t)
		same(t, "version", changed.Version, int64(2))
		same(t, "stored", must(s.Webhook(t.Context(), made.ID))(t), changed)
		same(t, "list", must(s.Webhooks(t.Context(), in.ID, firstPage))(t), []job.Webhook{changed})
		same(t, "instances", must(s.NoticeInstances(t.Context()))(t), []int64{in.ID})
		ok(t, s.DeleteWebhook(t.Context(), made.ID, func(job.Webhook) error { return nil }))
		_, err = s.Webhook(t.Context(), made.ID)
		missing(t, "deleted webhook", err)
		same(t, "instances", must(s.NoticeInstances(t.Context()))(t), []int64(nil))
		_, _, err = s.CreateWebhook(t.Context(), failing(in.ID+1), sealedAs(""), noRequest)
		missing(t, "instance", err)
	},
	"an instance has a limit of webhooks and takes them with it": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		for range job.MaxWebhooks {
			newWebhook(t, s, failing(in.ID))
		}
		_, _, err := s.CreateWebhook(t.Context(), failing(in.ID), sealedAs(""), noRequest)
		var exhausted *job.ExhaustedError
		if !errors.As(err, &exhausted) {
			t.Fatalf("one too many: %v, want an ExhaustedError", err)
		}
		ok(t, s.DeleteInstance(t.Context(), in.ID))
		same(t, "instances", must(s.NoticeInstances(t.Context()))(t), []int64(nil))
	},
	"every end is looked at once": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		history(t, s, j.ID, 2) // before there is a webhook: nobody hears of them
		open := enqueue(t, s, j.ID, noon.Add(time.Hour))
		claimed := claimQueued(t, s, noon.Add(time.Hour))
		newWebhook(t, s, failing(j.InstanceID))
		idle(t, s, j.InstanceID)
		later := enqueue(t, s, j.ID, noon.Add(2*time.Hour))
		c := claimQueued(t, s, noon.Add(2*time.Hour))[0]
		finish(t, s, c, job.StateFailed, noon, noon.Add(3*time.Hour))
		look := lookOnce(t, s, j.InstanceID, store.NoticeStep{})
		same(t, "the later one", idsOf(look.Ended), []int64{later.ID})
		same(t, "its job", look.Jobs[j.ID].Name, j.Name)
		idle(t, s, j.InstanceID)
		finish(t, s, claimed[0], job.StateSucceeded, noon, noon.Add(4*time.Hour))
		same(t, "the earlier one", idsOf(lookOnce(t, s, j.InstanceID, store.NoticeStep{}).Ended), []int64{open.ID})
		idle(t, s, j.InstanceID)
	},
	"of many ends each is looked at once": func(t *testing.T, s store.Store) {
		// Those of noon are old enough to be below the floor, the others are not.
		for _, from := range []time.Time{noon, time.Now()} {
			manyEnds(t, s, from)
		}
	},
	"of replicas that look at once one tells": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		w := newWebhook(t, s, failing(j.InstanceID))
		for round := range 5 {
			at := noon.Add(time.Duration(round) * time.Minute)
			enqueue(t, s, j.ID, at)
			finish(t, s, claimQueued(t, s, at)[0], job.StateFailed, at, at.Add(time.Second))
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					_, _, err := s.AdvanceNotices(t.Context(), j.InstanceID, func(look store.NoticeLook) (step store.NoticeStep) {
						for _, e := range look.Ended {
							step.Notices = append(step.Notices, noticeOf(w, fmt.Sprintf("%d %d", round, e.ID)))
						}
						return step
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			same(t, "deliveries", len(must(s.Deliveries(t.Context(), store.DeliveryFilter{InstanceID: j.InstanceID}, firstPage))(t)), round+1)
		}
	},
	"what lasts is told when it begins": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		newWebhook(t, s, failing(j.InstanceID))
		enqueue(t, s, j.ID, noon)
		c := claimQueued(t, s, noon)[0]
		_, err := s.Finish(t.Context(), []store.Finish{{
			ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateAwaitingApproval, StartedAt: noon, FinishedAt: noon.Add(time.Minute),
			RetryAt: noon.Add(time.Hour), Approval: &job.Approval{ExecutionID: c.ExecutionID, Attempt: 1, Digest: "d", RequestedAt: noon},
		}})
		ok(t, err)
		same(t, "approvals", idsOf(lookOnce(t, s, j.InstanceID, store.NoticeStep{}).Approvals), []int64{c.ExecutionID})
		idle(t, s, j.InstanceID)
		must(s.Approve(t.Context(), c.ExecutionID, noon, "d", "somebody"))(t)
		c = claimQueued(t, s, noon)[0]
		_, err = s.Finish(t.Context(), []store.Finish{{
			ExecutionID: c.ExecutionID, JobID: j.ID, Fence: c.Fence, State: job.StateFailed, StartedAt: noon, FinishedAt: noon.Add(time.Minute), PauseAfter: 1,
		}})
		ok(t, err)
		look := lookOnce(t, s, j.InstanceID, store.NoticeStep{})
		same(t, "paused", look.Paused, []int64{j.ID})
		pause := look.Jobs[j.ID].Pause
		same(t, "pause", []string{pause.Actor, pause.Reason}, []string{job.ActorSystem, "the execution " + job.KindExecution.Format(c.ExecutionID) + " did not succeed"})
		idle(t, s, j.InstanceID)
	},
	"a delivery is claimed by one and ends once": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		w := newWebhook(t, s, failing(j.InstanceID))
		d := must(s.AddNotice(t.Context(), noticeOf(w, "one")))(t)
		if again := must(s.AddNotice(t.Context(), noticeOf(w, "one")))(t); again.ID != 0 {
			t.Errorf("the same notice made delivery %d", again.ID)
		}
		claim := func(now time.Time) []store.Sending {
			return must(s.ClaimDeliveries(t.Context(), store.DeliveryClaim{Now: now, Until: now.Add(time.Minute), Most: manyPlaces}))(t)
		}
		same(t, "before its time", len(claim(noon.Add(-time.Second))), 0)
		same(t, "due", must(s.NextDelivery(t.Context()))(t), noon)
		first := claim(noon)
		if len(first) != 1 || first[0].ID != d.ID || first[0].Webhook.URL != w.URL || first[0].Tries != 1 {
			t.Fatalf("claimed %+v", first)
		}
		same(t, "claimed twice", len(claim(noon)), 0)
		second := claim(noon.Add(2 * time.Minute)) // the first sender is dead
		end := store.DeliveryEnd{DeliveryID: d.ID, Fence: second[0].Fence, State: job.DeliveryPending, NextAt: noon.Add(time.Hour), Attempt: job.DeliveryAttempt{Time: noon, Status: 500}}
		ok(t, s.EndDelivery(t.Context(), end))
		end.Fence, end.State = first[0].Fence, job.DeliveryDelivered // it was not dead
		ok(t, s.EndDelivery(t.Context(), end))
		d = must(s.Delivery(t.Context(), d.ID))(t)
		same(t, "state", d.State, job.DeliveryPending)
		same(t, "attempts", len(d.Attempts), 2)
		same(t, "next", d.NextAt, noon.Add(time.Hour))
		d = must(s.Redeliver(t.Context(), d.ID, noon))(t)
		same(t, "tries", d.Tries, 0)
		third := claim(noon)
		end = store.DeliveryEnd{DeliveryID: d.ID, Fence: third[0].Fence, State: job.DeliveryDelivered, Attempt: job.DeliveryAttempt{Time: noon, Status: 200}}
		ok(t, s.EndDelivery(t.Context(), end))
		same(t, "delivered", must(s.Delivery(t.Context(), d.ID))(t).State, job.DeliveryDelivered)
		same(t, "nothing due", len(claim(noon.Add(time.Hour))), 0)
		same(t, "due ever", must(s.NextDelivery(t.Context()))(t).IsZero(), true)
	},
	"no webhook and no instance takes more than its places": func(t *testing.T, s store.Store) {
		slow, quick := newWebhook(t, s, failing(newInstance(t, s).ID)), newWebhook(t, s, failing(newInstance(t, s).ID))
		second := newWebhook(t, s, failing(slow.InstanceID))
		notify := func(w job.Webhook, n int) {
			for i := range n {
				notice := noticeOf(w, fmt.Sprint(w.ID, " ", i))
				notice.CreatedAt = noon.Add(time.Duration(w.ID+int64(i)) * time.Millisecond)
				must(s.AddNotice(t.Context(), notice))(t)
			}
		}
		notify(slow, 5)
		notify(second, 5)
		notify(quick, 2)
		c := store.DeliveryClaim{Now: noon.Add(time.Minute), Until: noon.Add(time.Hour), Most: store.SendingPlaces{All: 10, Failing: 5, Instance: 3, Webhook: 2}}
		count := func() map[int64]int {
			t.Helper()
			for _, d := range must(s.ClaimDeliveries(t.Context(), c))(t) {
				c.Taken.Add(1, d)
			}
			return maps.Clone(c.Taken.Webhooks)
		}
		want := map[int64]int{slow.ID: 2, second.ID: 1, quick.ID: 2}
		same(t, "taken", count(), want)
		same(t, "taken while nothing is free", count(), want)
		c.Taken = store.TakenPlaces{}
		delete(want, quick.ID)
		same(t, "taken when all has ended", count(), want)
	},
	"failing webhooks leave places to others": func(t *testing.T, s store.Store) {
		var dead []job.Webhook
		for range 6 {
			dead = append(dead, newWebhook(t, s, failing(newInstance(t, s).ID)))
		}
		for i := range 12 {
			must(s.AddNotice(t.Context(), noticeOf(dead[i%6], fmt.Sprint(i))))(t)
		}
		c := store.DeliveryClaim{Now: noon, Until: noon.Add(time.Minute), Most: store.SendingPlaces{All: 8, Failing: 4, Instance: 8, Webhook: 1}}
		first := must(s.ClaimDeliveries(t.Context(), c))(t)
		same(t, "first attempts", len(first), 6)
		for _, d := range first {
			same(t, "failing before an attempt", d.Failing, false)
			ok(t, s.EndDelivery(t.Context(), store.DeliveryEnd{DeliveryID: d.ID, Fence: d.Fence, State: job.DeliveryPending, NextAt: noon, Attempt: job.DeliveryAttempt{Time: noon, Status: 500}}))
		}
		c.Most.Webhook = 4
		again := must(s.ClaimDeliveries(t.Context(), c))(t)
		same(t, "next attempts", len(again), 4)
		for _, d := range again {
			same(t, "failing after an attempt", d.Failing, true)
			c.Taken.Add(1, d)
		}
		quick := newWebhook(t, s, failing(newInstance(t, s).ID))
		for i := range 5 {
			must(s.AddNotice(t.Context(), noticeOf(quick, fmt.Sprint("quick ", i))))(t)
		}
		others := must(s.ClaimDeliveries(t.Context(), c))(t)
		same(t, "of the quick one", len(others), 4)
		for _, d := range others {
			same(t, "receiver", d.WebhookID, quick.ID)
			c.Taken.Add(1, d)
		}
		same(t, "when all places are taken", len(must(s.ClaimDeliveries(t.Context(), c))(t)), 0)
	},
	"a webhook that is gone is disabled": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		w := newWebhook(t, s, failing(j.InstanceID))
		d := must(s.AddNotice(t.Context(), noticeOf(w, "one")))(t)
		other := must(s.AddNotice(t.Context(), noticeOf(w, "other")))(t)
		ok(t, s.EndDelivery(t.Context(), store.DeliveryEnd{DeliveryID: d.ID, State: job.DeliveryFailed, Attempt: job.DeliveryAttempt{Time: noon, Status: 410}, Disable: "GONE"}))
		w = must(s.Webhook(t.Context(), w.ID))(t)
		same(t, "webhook", []any{w.Enabled, w.DisabledReason}, []any{false, "GONE"})
		same(t, "the other delivery", must(s.Delivery(t.Context(), other.ID))(t).State, job.DeliveryFailed)
		_, err := s.Redeliver(t.Context(), d.ID, noon)
		refused(t, err, "WEBHOOK_DISABLED")
	},
	"old notices go with their deliveries": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		w := newWebhook(t, s, failing(j.InstanceID))
		d := must(s.AddNotice(t.Context(), noticeOf(w, "old")))(t)
		_, _, err := s.PruneHistory(t.Context(), noon, 100)
		ok(t, err)
		same(t, "not old", must(s.Delivery(t.Context(), d.ID))(t).ID, d.ID)
		_, _, err = s.PruneHistory(t.Context(), noon.Add(time.Second), 100)
		ok(t, err)
		_, err = s.Delivery(t.Context(), d.ID)
		missing(t, "old delivery", err)
	},
	"deliveries are found by what they are about": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		a, b := newWebhook(t, s, failing(j.InstanceID)), newWebhook(t, s, failing(j.InstanceID))
		n := noticeOf(a, "both")
		n.JobID, n.WebhookIDs = j.ID, []int64{a.ID, b.ID}
		must(s.AddNotice(t.Context(), n))(t)
		must(s.AddNotice(t.Context(), noticeOf(b, "second")))(t)
		for f, want := range map[store.DeliveryFilter]int{
			{}: 3, {WebhookID: b.ID}: 2, {JobID: j.ID}: 2, {JobID: j.ID, WebhookID: a.ID}: 1, {State: job.DeliveryFailed}: 0,
			{Event: job.EventPing}: 3, {Event: job.EventFresh}: 0,
		} {
			f.InstanceID = j.InstanceID
			same(t, fmt.Sprintf("%+v", f), len(must(s.Deliveries(t.Context(), f, firstPage))(t)), want)
		}
		same(t, "elsewhere", len(must(s.Deliveries(t.Context(), store.DeliveryFilter{InstanceID: j.InstanceID + 1}, firstPage))(t)), 0)
	},
	"the secrets of webhooks are sealed values": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		w := newWebhook(t, s, failing(j.InstanceID))
		same(t, "keys", must(s.SealedKeyIDs(t.Context()))(t), []uint32{5})
		list := must(s.WebhooksToReseal(t.Context(), 6, 0, 10))(t)
		same(t, "to reseal", list, []job.Webhook{w})
		list[0].Secrets.KeyID, list[0].Secrets.Ciphertext = 6, []byte("anew")
		same(t, "resealed", must(s.ResealWebhooks(t.Context(), list))(t), 1)
		same(t, "left", len(must(s.WebhooksToReseal(t.Context(), 6, 0, 10))(t)), 0)
		same(t, "counted", must(s.SealingView(t.Context()))(t).Sealed, map[uint32]int64{6: 1})
	},
}

// manyEnds ends more executions than one look takes with so many webhooks, the
// youngest first.
func manyEnds(t *testing.T, s store.Store, from time.Time) {
	t.Helper()
	const youngest, rest, atOnce = 5, 40, 25
	j := newJob(t, s)
	for range job.MaxWebhooks {
		newWebhook(t, s, failing(j.InstanceID))
	}
	for i := range youngest + rest {
		enqueue(t, s, j.ID, from.Add(time.Duration(i)*time.Microsecond))
	}
	claimed := claimQueued(t, s, from.Add(time.Second))
	slices.SortFunc(claimed, func(a, b store.Claimed) int { return cmp.Compare(b.ExecutionID, a.ExecutionID) })
	seen := map[int64]int{}
	for i, ended := range [][]store.Claimed{claimed[:youngest], claimed[youngest:]} {
		for _, c := range ended {
			finish(t, s, c, job.StateFailed, from, from.Add(time.Minute))
		}
		for more := true; more; {
			var err error
			_, more, err = s.AdvanceNotices(t.Context(), j.InstanceID, func(look store.NoticeLook) (step store.NoticeStep) {
				if len(look.Ended) > atOnce {
					t.Errorf("one look took %d ends, want at most %d", len(look.Ended), atOnce)
				}
				for _, e := range look.Ended {
					seen[e.ID]++
				}
				return step
			})
			ok(t, err)
		}
		same(t, "seen", len(seen), youngest+i*rest)
	}
	for id, times := range seen {
		same(t, fmt.Sprintf("looks at execution %d", id), times, 1)
	}
}

var manyPlaces = store.SendingPlaces{All: 10, Failing: 10, Instance: 10, Webhook: 10}

// failing is a webhook that hears of failures.
func failing(instanceID int64) job.Webhook {
	return job.Webhook{
		InstanceID: instanceID, URL: "https://hooks.example/a", Enabled: true, CreatedAt: noon,
		Hearing: job.Hearing{Events: []job.NoticeEvent{job.EventFirstFailure}},
	}
}

func sealedAs(text string) func(int64) (job.SealedSecrets, error) {
	return func(id int64) (job.SealedSecrets, error) {
		return job.SealedSecrets{Version: 1, KeyID: 5, Ciphertext: fmt.Appendf(nil, "%s %d", text, id)}, nil
	}
}

func newWebhook(t *testing.T, s store.Store, w job.Webhook) job.Webhook {
	t.Helper()
	made, _, err := s.CreateWebhook(t.Context(), w, sealedAs("secret"), noRequest)
	ok(t, err)
	return made
}

func noticeOf(w job.Webhook, key string) job.Notice {
	return job.Notice{InstanceID: w.InstanceID, Key: key, Event: job.EventPing, CreatedAt: noon, Body: "{}", WebhookIDs: []int64{w.ID}}
}

// lookOnce looks once and answers what was seen; step is what follows. There
// must be something to see.
func lookOnce(t *testing.T, s store.Store, instanceID int64, step store.NoticeStep) (seen store.NoticeLook) {
	t.Helper()
	called := false
	_, _, err := s.AdvanceNotices(t.Context(), instanceID, func(look store.NoticeLook) store.NoticeStep {
		seen, called = look, true
		return step
	})
	ok(t, err)
	if !called {
		t.Fatal("there was nothing to see")
	}
	return seen
}

// idle says that nothing happened. The floor may move.
func idle(t *testing.T, s store.Store, instanceID int64) {
	t.Helper()
	_, _, err := s.AdvanceNotices(t.Context(), instanceID, func(look store.NoticeLook) (step store.NoticeStep) {
		if n := len(look.Ended) + len(look.Approvals) + len(look.Paused) + len(look.Refused) + len(look.Freshness) + len(look.Looked); n > 0 {
			t.Errorf("%d things were seen, want none: %+v", n, look)
		}
		return step
	})
	ok(t, err)
}
