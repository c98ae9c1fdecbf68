package webhooks

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// The bounds of a given freshness.
const (
	minFreshness = time.Minute
	maxFreshness = 366 * 24 * time.Hour
)

// Fields are what a request says of a webhook; nil for nothing.
type Fields struct {
	URL, Description *string
	JobIDs           *[]string
	Labels           *map[string]string
	Events           *[]job.NoticeEvent
	FailuresInARow   *int
	Freshness        *time.Duration
	Enabled          *bool
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply changes base by what a request says, and checks the whole.
func (s *Service) apply(ctx context.Context, base job.Webhook, f Fields) (job.Webhook, error) {
	w := base
	var bad job.InvalidError
	set(&w.URL, f.URL)
	set(&w.Description, f.Description)
	set(&w.Events, f.Events)
	set(&w.FailuresInARow, f.FailuresInARow)
	set(&w.Freshness, f.Freshness)
	set(&w.Enabled, f.Enabled)
	if f.Labels != nil {
		w.Labels = nil
		if len(*f.Labels) > 0 {
			w.Labels = *f.Labels
		}
	}
	if f.JobIDs != nil {
		var err error
		if w.JobIDs, err = s.jobsIn(ctx, base.InstanceID, *f.JobIDs, &bad); err != nil {
			return job.Webhook{}, err
		}
	}
	if w.Enabled {
		w.DisabledReason = ""
	}
	checkURL(w.URL, &bad)
	checkHearing(w.Hearing, &bad)
	return w, bad.Err()
}

// jobsIn reads identifiers of jobs of an instance.
func (s *Service) jobsIn(ctx context.Context, instanceID int64, texts []string, bad *job.InvalidError) ([]int64, error) {
	var ids []int64
	for i, text := range texts {
		id, ok := job.KindJob.Parse(text)
		owner := int64(0)
		if ok {
			var err error
			if owner, err = s.store.InstanceOf(ctx, job.KindJob, id); err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, fmt.Errorf("find the instance of job %d: %w", id, err)
			}
		}
		if owner != instanceID {
			bad.Add(task.Index("jobIds", i), "JOB_NOT_FOUND", "%.40q is no job of the instance", text)
			continue
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func checkURL(text string, bad *job.InvalidError) {
	if text == "" {
		bad.Add("url", task.ReasonRequired, "is required")
		return
	}
	u, problem := egress.ParseURL(text)
	switch {
	case problem != "":
		bad.Add("url", task.ReasonInvalidValue, "%s", problem)
	case u.User != nil:
		bad.Add("url", task.ReasonInvalidValue, "must not hold a user or a password: receivers check the signature")
	case u.Fragment != "":
		bad.Add("url", task.ReasonInvalidValue, "must not have a fragment")
	}
}

func checkHearing(h job.Hearing, bad *job.InvalidError) {
	if len(h.JobIDs) > 0 && len(h.Labels) > 0 {
		bad.Add("labels", task.ReasonInvalidValue, "must not be given together with jobIds")
	}
	if len(h.Events) == 0 {
		bad.Add("events", task.ReasonRequired, "name at least one")
	}
	for i, e := range h.Events {
		path := task.Index("events", i)
		switch {
		case e == "" || e == job.EventPing:
			bad.Add(path, task.ReasonInvalidValue, "is no event that can be heard of")
		case slices.Contains(h.Events[:i], e):
			bad.Add(path, "DUPLICATE", "is given twice")
		}
	}
	switch nth := h.Of(job.EventNthFailure); {
	case nth && h.FailuresInARow < 2:
		bad.Add("failuresInARow", task.ReasonInvalidValue, "must be from 2 to 1000 with the event NTH_FAILURE; the first failure is FIRST_FAILURE")
	case !nth && h.FailuresInARow != 0:
		bad.Add("failuresInARow", task.ReasonInvalidValue, "is for the event NTH_FAILURE only")
	}
	switch {
	case h.Freshness == 0:
	case !h.Of(job.EventNotFresh):
		bad.Add("freshness", task.ReasonInvalidValue, "is for the event NOT_FRESH only")
	case h.Freshness < minFreshness || h.Freshness > maxFreshness:
		bad.Add("freshness", task.ReasonInvalidValue, "must be from 60s to 366 days")
	}
}

// same tells whether two webhooks are alike in what callers can change.
func same(a, b job.Webhook) bool {
	return a.URL == b.URL && a.Description == b.Description && a.Enabled == b.Enabled && reflect.DeepEqual(a.Hearing, b.Hearing)
}
