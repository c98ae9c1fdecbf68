// Package notice decides which changes of an instance are told to which
// webhooks, and what is sent. It is pure.
//
// Rules:
//   - A change is told, not a state: of failures in a row the first, and the
//     n-th to those who ask for it; of what lasts its beginning.
//   - An execution counts when it ends, in the order of the ends. One that was
//     cancelled counts for nothing; whatever else did not succeed is a failure,
//     as it is for pause_after_failures.
//   - A recovery is told to those who hear of the failures before it, also if
//     they have begun to hear in between.
//   - A pause because of refused credentials is told by REAUTH_REQUIRED, once for
//     the remote, and not again for each of its jobs.
//   - Every notice has a key that names its change, so that it is kept once
//     whoever finds it.
//   - What is sent holds no secret and no line of a log.
package notice

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// maxJobs bounds how many jobs a notice names.
const maxJobs = 100

// Body is what receivers get, as JSON.
type Body struct {
	Type      job.NoticeEvent `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      Data            `json:"data"`
}

// Data are the facts of a notice; those that don't apply are left out.
type Data struct {
	InstanceID  string    `json:"instanceId"`
	JobID       string    `json:"jobId,omitempty"`
	JobName     string    `json:"jobName,omitempty"`
	ExecutionID string    `json:"executionId,omitempty"`
	State       job.State `json:"state,omitempty"`
	// Reason is stable, Message for people.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Attempt is the execution's last one.
	Attempt             int `json:"attempt,omitempty"`
	ConsecutiveFailures int `json:"consecutiveFailures,omitempty"`
	// ResourceID and Remote are whose credentials are refused, JobIDs the first
	// hundred jobs that use the resource.
	ResourceID string   `json:"resourceId,omitempty"`
	Remote     string   `json:"remote,omitempty"`
	JobIDs     []string `json:"jobIds,omitempty"`
	// LastSuccess is since when there was no success.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// URL is the page of the console.
	URL string `json:"url,omitempty"`
}

// Deriver derives notices.
type Deriver struct {
	// PublicURL is where the console is.
	PublicURL string
}

// Derive says what follows from a look.
func (d Deriver) Derive(look store.NoticeLook) store.NoticeStep {
	s := &step{Deriver: d, look: look, out: store.NoticeStep{Streaks: map[int64]int{}}}
	s.fresh = newFreshness(s)
	for _, e := range look.Ended {
		s.ended(e)
	}
	for _, e := range look.Approvals {
		s.approval(e)
	}
	for _, id := range look.Paused {
		s.paused(id)
	}
	for _, r := range look.Refused {
		s.refused(r)
	}
	s.fresh.settle()
	return s.out
}

// Ping is a test of a webhook; nonce tells it from others.
func Ping(w job.Webhook, now time.Time, nonce string) job.Notice {
	return job.Notice{
		InstanceID: w.InstanceID, Key: "PING " + nonce, Event: job.EventPing, CreatedAt: now, WebhookIDs: []int64{w.ID},
		Body: text(Body{Type: job.EventPing, Timestamp: now, Data: Data{InstanceID: job.KindInstance.Format(w.InstanceID), Message: "This is a test."}}),
	}
}

func text(b Body) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(b) // texts, numbers and times always encode
	return strings.TrimSuffix(out.String(), "\n")
}

// step collects what follows from a look.
type step struct {
	Deriver
	look  store.NoticeLook
	out   store.NoticeStep
	fresh *freshness
}

// ended follows a job's failures in a row.
func (s *step) ended(e job.Execution) {
	j, known := s.look.Jobs[e.JobID]
	if !known || e.State == job.StateCancelled {
		return
	}
	streak, counted := s.out.Streaks[j.ID]
	if !counted {
		streak = s.look.Streaks[j.ID]
	}
	if e.State == job.StateSucceeded {
		s.out.Streaks[j.ID] = 0
		s.fresh.succeeded(e)
		if streak > 0 {
			s.tellExecution(job.EventRecovered, j, e, streak, func(w job.Webhook) bool { return streak >= threshold(w) })
		}
		return
	}
	streak++
	s.out.Streaks[j.ID] = streak
	if streak == 1 {
		s.tellExecution(job.EventFirstFailure, j, e, streak, nil)
	} else {
		s.tellExecution(job.EventNthFailure, j, e, streak, func(w job.Webhook) bool { return w.FailuresInARow == streak })
	}
}

// threshold is how many failures in a row a webhook hears of first.
func threshold(w job.Webhook) int {
	if w.Of(job.EventNthFailure) && !w.Of(job.EventFirstFailure) {
		return w.FailuresInARow
	}
	return 1
}

func (s *step) tellExecution(event job.NoticeEvent, j job.Job, e job.Execution, streak int, also func(job.Webhook) bool) {
	d := Data{
		ExecutionID: job.KindExecution.Format(e.ID), State: e.State, Attempt: e.Attempt, ConsecutiveFailures: streak,
		URL: s.page("execution", job.KindExecution.Format(e.ID)),
	}
	if e.Error != nil {
		d.Reason, d.Message = e.Error.Reason, e.Error.Message
	}
	s.tell(event, j, e.ID, e.FinishedAt, fmt.Sprintf("%s %s", event, d.ExecutionID), d, also)
}

func (s *step) approval(e job.Execution) {
	j, known := s.look.Jobs[e.JobID]
	if !known {
		return
	}
	id := job.KindExecution.Format(e.ID)
	s.tell(job.EventApprovalNeeded, j, e.ID, s.look.Now, fmt.Sprintf("%s %s %d", job.EventApprovalNeeded, id, e.Attempt), Data{
		ExecutionID: id, State: e.State, Attempt: e.Attempt, URL: s.page("execution", id),
		Message: "The execution waits for somebody to approve its plan.",
	}, nil)
}

func (s *step) paused(id int64) {
	j, known := s.look.Jobs[id]
	if !known || j.Pause == nil {
		return
	}
	s.tell(job.EventPausedBySystem, j, 0, s.look.Now, fmt.Sprintf("%s %s %d", job.EventPausedBySystem, job.KindJob.Format(id), j.Version),
		Data{Message: j.Pause.Reason, ConsecutiveFailures: j.Failures}, nil)
}

// tell makes a notice about a job for those who hear of it.
func (s *step) tell(event job.NoticeEvent, j job.Job, executionID int64, at time.Time, key string, d Data, also func(job.Webhook) bool) {
	var to []int64
	for _, w := range s.look.Webhooks {
		if w.Of(event) && w.Selects(j.ID, j.Labels) && (also == nil || also(w)) {
			to = append(to, w.ID)
		}
	}
	s.tellTo(to, event, j, executionID, at, key, d)
}

func (s *step) tellTo(to []int64, event job.NoticeEvent, j job.Job, executionID int64, at time.Time, key string, d Data) {
	if len(to) == 0 {
		return
	}
	d.InstanceID, d.JobID, d.JobName = job.KindInstance.Format(s.look.InstanceID), job.KindJob.Format(j.ID), j.Name
	if d.URL == "" {
		d.URL = s.page("job", d.JobID)
	}
	s.out.Notices = append(s.out.Notices, job.Notice{
		InstanceID: s.look.InstanceID, Key: key, Event: event, JobID: j.ID, ExecutionID: executionID, CreatedAt: s.look.Now,
		WebhookIDs: to, Body: text(Body{Type: event, Timestamp: at, Data: d}),
	})
}

// refused tells of a remote's credentials those who hear of any of its jobs.
func (s *step) refused(r store.RefusedRemote) {
	var to []int64
	for _, w := range s.look.Webhooks {
		all := len(w.JobIDs) == 0 && len(w.Labels) == 0
		if w.Of(job.EventReauthRequired) && (all || slices.ContainsFunc(r.JobIDs, func(id int64) bool {
			j, known := s.look.Jobs[id]
			return known && w.Selects(id, j.Labels)
		})) {
			to = append(to, w.ID)
		}
	}
	if len(to) == 0 {
		return
	}
	instance := job.KindInstance.Format(s.look.InstanceID)
	d := Data{
		InstanceID: instance, ResourceID: job.KindResource.Format(r.ResourceID), Remote: r.Name, Reason: job.ReasonReauth, Message: r.Reason,
		URL: s.page("instance", instance, "config"),
	}
	for _, id := range r.JobIDs[:min(len(r.JobIDs), maxJobs)] {
		d.JobIDs = append(d.JobIDs, job.KindJob.Format(id))
	}
	s.out.Notices = append(s.out.Notices, job.Notice{
		InstanceID: s.look.InstanceID, Key: fmt.Sprintf("%s %d %d", job.EventReauthRequired, r.ID, r.Since.UnixMicro()), Event: job.EventReauthRequired,
		CreatedAt: s.look.Now, WebhookIDs: to, Body: text(Body{Type: job.EventReauthRequired, Timestamp: r.Since, Data: d}),
	})
}

// page is the address of a page of the console.
func (d Deriver) page(path ...string) string {
	if d.PublicURL == "" {
		return ""
	}
	return strings.TrimSuffix(d.PublicURL, "/") + "/#/" + strings.Join(path, "/")
}
