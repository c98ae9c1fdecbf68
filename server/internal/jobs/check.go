package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workflow"
)

// The reasons that this package gives.
const (
	ReasonOtherType        = "NOT_FOR_FREQUENCY_TYPE"
	ReasonInstanceMismatch = "INSTANCE_MISMATCH"
	ReasonResourceNotFound = "RESOURCE_NOT_FOUND"
)

// apply returns the job that base becomes under the fields, checked as a
// whole. Its schedule's anchor is still that of base.
func (s *Service) apply(ctx context.Context, base job.Job, f Fields, creating bool) (job.Job, error) {
	var bad job.InvalidError
	j := base
	if err := f.checkInstance(base.InstanceID, creating, &bad); err != nil {
		return job.Job{}, err
	}
	f.applyPlain(&j, &bad)
	if err := f.applySchedule(&j.Schedule, &bad); err != nil {
		return job.Job{}, err
	}
	if f.Workflow != nil || creating {
		if err := s.applyWorkflow(ctx, &j, f.Workflow, &bad); err != nil {
			return job.Job{}, err
		}
	}
	if err := bad.Err(); err != nil {
		return job.Job{}, err
	}
	return j, s.checkFrequency(ctx, base, j)
}

// checkInstance compares the job's instance with what the caller says of it. A
// job never moves, so for an update the job does not exist elsewhere.
func (f *Fields) checkInstance(id int64, creating bool, bad *job.InvalidError) error {
	if f.InstanceID == nil {
		return nil
	}
	if said, ok := job.KindInstance.Parse(*f.InstanceID); ok && said == id {
		return nil
	}
	if !creating {
		return job.KindInstance.NotFound(*f.InstanceID)
	}
	bad.Add("instanceId", ReasonInstanceMismatch, "must be the instance that the job is made in, %s; leave it out", job.KindInstance.Format(id))
	return nil
}

// applySchedule sets when the job runs. Changing the type clears what is for
// the other type only; giving something that is for another type is refused.
func (f *Fields) applySchedule(s *job.Schedule, bad *job.InvalidError) error {
	if f.Type != nil && *f.Type != s.Type {
		s.Type, s.Cron, s.IntervalMinutes, s.DSTGap, s.DSTOverlap = *f.Type, "", 0, "", ""
	}
	set(&s.TimeZone, f.TimeZone)
	f.Options.apply(s, bad)
	// What is wrong already is compiled as MANUAL, to check the rest.
	rest := *s
	switch s.Type {
	case "":
		bad.Add("frequencyType", task.ReasonRequired, "is required: CRON_BASED, INTERVAL_BASED or MANUAL")
	case job.CronBased, job.IntervalBased, job.Manual:
		if !f.applyParameters(s, bad) {
			rest.Type = job.Manual
			break
		}
		rest = *s
	default:
		bad.Add("frequencyType", task.ReasonInvalidValue, "must be CRON_BASED, INTERVAL_BASED or MANUAL")
		rest.Type = job.Manual
	}
	// Whether an interval is allowed does not depend on its anchor.
	rest.Anchor = time.Unix(0, 0)
	_, err := schedule.Compile(rest, 0)
	return bad.Under("", err)
}

// applyParameters sets the parameter of the type and answers whether it is
// there and nothing else is.
func (f *Fields) applyParameters(s *job.Schedule, bad *job.InvalidError) bool {
	found := len(bad.Violations)
	cron, interval := s.Type == job.CronBased, s.Type == job.IntervalBased
	if f.Cron != nil && !cron {
		bad.Add("cronExpression", ReasonOtherType, "is for CRON_BASED only; the job is %s", s.Type)
	}
	if f.IntervalMinutes != nil && !interval {
		bad.Add("intervalMinutes", ReasonOtherType, "is for INTERVAL_BASED only; the job is %s", s.Type)
	}
	given := false
	if cron {
		given = f.Cron != nil || s.Cron != ""
		set(&s.Cron, f.Cron)
		if !given {
			bad.Add("cronExpression", task.ReasonRequired, "is required for CRON_BASED")
		}
	}
	if interval {
		given = f.IntervalMinutes != nil || s.IntervalMinutes != 0
		set(&s.IntervalMinutes, f.IntervalMinutes)
		if !given {
			bad.Add("intervalMinutes", task.ReasonRequired, "is required for INTERVAL_BASED")
		}
	}
	return given || len(bad.Violations) == found
}

// applyWorkflow checks a workflow's document, its task types and the resources
// that it names, and stores it as it was given.
func (s *Service) applyWorkflow(ctx context.Context, j *job.Job, doc map[string]any, bad *job.InvalidError) error {
	w, err := workflow.Parse(doc)
	if err != nil {
		return bad.Under("", err)
	}
	wrong := workflow.Check(w, s.types)
	if err := bad.Under("", wrong); err != nil {
		return fmt.Errorf("check a workflow: %w", err)
	}
	if id, ok := job.KindInstance.Parse(w.InstanceID); w.InstanceID != "" && (!ok || id != j.InstanceID) {
		bad.Add("workflow.instanceId", ReasonInstanceMismatch, "must be the job's instance, %s; leave it out", job.KindInstance.Format(j.InstanceID))
	}
	if j.ResourceIDs, err = s.checkResources(ctx, j.InstanceID, w.Resources(s.types), bad); err != nil {
		return err
	}
	if wrong == nil {
		j.Folders = foldersOf(w.Folders(s.types))
	}
	j.Workflow, err = encode(doc)
	return err
}

// CheckResources refuses a workflow that names resources outside its instance,
// with a *job.InvalidError. It is for an execution that starts: what was true
// when the workflow was stored may not be any more.
func (s *Service) CheckResources(ctx context.Context, instanceID int64, refs []task.ResourceRef) error {
	var bad job.InvalidError
	if _, err := s.checkResources(ctx, instanceID, refs, &bad); err != nil {
		return err
	}
	return bad.Err()
}

// checkResources refuses resources that are not the instance's. Whether they
// exist elsewhere is not told.
func (s *Service) checkResources(ctx context.Context, instanceID int64, refs []task.ResourceRef, bad *job.InvalidError) ([]int64, error) {
	named := make([]int64, len(refs))
	var ids []int64
	for i, ref := range refs {
		if id, ok := job.KindResource.Parse(ref.ID); ok {
			named[i] = id
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	own := map[int64]bool{}
	if len(ids) > 0 {
		resources, err := s.store.ResourcesByID(ctx, ids)
		if err != nil {
			return nil, fmt.Errorf("read the resources of a workflow: %w", err)
		}
		for _, r := range resources {
			own[r.ID] = r.InstanceID == instanceID
		}
	}
	for i, ref := range refs {
		if !own[named[i]] {
			bad.Add(ref.Path, ReasonResourceNotFound, "is no resource of the job's instance")
		}
	}
	return ids, nil
}

// encode writes a document as JSON with its keys in order, so that equal
// documents have equal texts.
func encode(doc map[string]any) (json.RawMessage, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(doc); err != nil {
		return nil, errors.New("encode a workflow that was checked")
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}
