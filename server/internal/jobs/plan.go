package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pointscene/carillon/internal/places"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workflow"
)

const (
	// planTime is how long a plan may take: less than a call.
	planTime = 25 * time.Second
	// maxPlans and maxPlansOfOne are how many plans one process makes at a time,
	// of all instances and of one: each lists whole trees.
	maxPlans, maxPlansOfOne = 6, 2
)

// Planned is what an execution of a job would do with files.
type Planned struct {
	Plans []job.Plan
	// Unplanned are the tasks that can't tell.
	Unplanned []string
	// At is when it was planned.
	At time.Time
}

// Planning is what plans are made with.
type Planning struct {
	// Configs opens stored credentials of an instance.
	Configs func(instanceID int64) task.Configs
	// Recall answers what executions of a job remember.
	Recall func(ctx context.Context, jobID int64, key string) ([]byte, error)

	places *places.Places[int64]
	made   atomic.Int64
}

// PlanWith lets the service make plans. It is called before the first one.
func (s *Service) PlanWith(p *Planning) {
	p.places = places.New[int64](maxPlans, maxPlansOfOne)
	s.planning = p
}

// Plan tells what an execution of the job would do now. Nothing is changed or
// recorded.
func (s *Service) Plan(ctx context.Context, id int64) (Planned, error) {
	j, err := s.load(ctx, id, auth.Write)
	if err != nil {
		return Planned{}, err
	}
	w, err := s.readWorkflow(ctx, j)
	if err != nil {
		return Planned{}, err
	}
	leave, ok := s.planning.places.Take(j.InstanceID)
	if !ok {
		return Planned{}, &job.ExhaustedError{Reason: "TOO_MANY_PLANS", Message: "Other plans are being made; try again soon.", RetryAfter: planTime / 5}
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	planner := &planner{s: s, j: j, outputs: map[string]task.Output{}}
	for _, i := range w.Graph().Order() {
		if err := planner.plan(ctx, &w.Tasks[i]); err != nil {
			return Planned{}, err
		}
	}
	planner.planned.At = s.now()
	return planner.planned, nil
}

// readWorkflow parses and checks the stored workflow again, as an execution
// does.
func (s *Service) readWorkflow(ctx context.Context, j job.Job) (*workflow.Workflow, error) {
	var doc map[string]any
	if err := json.Unmarshal(j.Workflow, &doc); err != nil {
		return nil, fmt.Errorf("read the workflow of job %d: %w", j.ID, err)
	}
	w, err := workflow.Parse(doc)
	if err == nil {
		err = workflow.Check(w, s.types)
	}
	if err == nil {
		err = s.CheckResources(ctx, j.InstanceID, w.Resources(s.types))
	}
	var invalid *job.InvalidError
	if errors.As(err, &invalid) {
		return nil, &job.PreconditionError{Reason: job.ReasonWorkflowInvalid, Message: "The workflow is no longer valid: " + invalid.Error()}
	}
	return w, err
}

// planner makes the plan of one job.
type planner struct {
	s       *Service
	j       job.Job
	planned Planned
	outputs map[string]task.Output
}

func (p *planner) plan(ctx context.Context, t *workflow.Task) error {
	kind, _ := p.s.types.Lookup(t.Type)
	able, ok := kind.(task.Planner)
	if !ok {
		p.planned.Unplanned = append(p.planned.Unplanned, t.Name)
		return nil
	}
	inputs := map[string]task.Output{}
	for name, output := range p.outputs {
		if slices.Contains(t.Inputs, name) {
			inputs[name] = output
		}
	}
	plans, output, err := able.Plan(ctx, task.Run{
		JobID: p.j.ID, InstanceID: p.j.InstanceID, TaskName: t.Name, Args: t.Args, Inputs: inputs,
		// It tells the sessions of plans apart.
		Fence:   p.s.planning.made.Add(1),
		Log:     slog.New(slog.DiscardHandler),
		Configs: p.s.planning.Configs(p.j.InstanceID),
		Memory:  readOnly{p.s.planning, p.j.ID},
	})
	if err != nil {
		return fmt.Errorf("plan task %q of job %d: %w", t.Name, p.j.ID, err)
	}
	p.planned.Plans = append(p.planned.Plans, plans...)
	p.outputs[t.Name] = output
	return nil
}

// readOnly is a job's memory for a plan.
type readOnly struct {
	planning *Planning
	jobID    int64
}

// Recall implements task.Memory.
func (r readOnly) Recall(ctx context.Context, key string) ([]byte, error) {
	return r.planning.Recall(ctx, r.jobID, key)
}

// Remember implements task.Memory.
func (readOnly) Remember(context.Context, string, []byte) error {
	return errors.New("a plan remembers nothing")
}
