package entstore

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
)

// micros is a time as it is stored: microseconds since 1970, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// timeOf is the time that micros stored.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// failureText is JSON, empty for none.
func failureText(f *job.Failure) string {
	if f == nil {
		return ""
	}
	return encode(f)
}

func failureOf(text string) (*job.Failure, error) {
	if text == "" {
		return nil, nil
	}
	return decode[*job.Failure](text)
}

// tasksText is JSON, empty for none.
func tasksText(tasks []job.TaskRecord) string {
	if len(tasks) == 0 {
		return ""
	}
	return encode(tasks)
}

func tasksOf(text string) ([]job.TaskRecord, error) {
	if text == "" {
		return nil, nil
	}
	return decode[[]job.TaskRecord](text)
}

// policiesText is JSON of what differs from the defaults, empty when nothing
// does.
func policiesText(p job.Policies) string {
	defaults := job.Policies{}.WithDefaults()
	if p.Overlap == defaults.Overlap {
		p.Overlap = ""
	}
	if p.CatchUp == defaults.CatchUp {
		p.CatchUp = ""
	}
	if p.CatchUpWindow == defaults.CatchUpWindow {
		p.CatchUpWindow = 0
	}
	if p == (job.Policies{}) {
		return ""
	}
	return encode(p)
}

// policiesOf answers the policies with their defaults filled in.
func policiesOf(text string) (job.Policies, error) {
	if text == "" {
		return job.Policies{}.WithDefaults(), nil
	}
	p, err := decode[job.Policies](text)
	return p.WithDefaults(), err
}

func encode(value any) string {
	text, _ := json.Marshal(value) // it can't fail: strings, numbers and times of four-digit years
	return string(text)
}

func decode[T any](text string) (T, error) {
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return value, fmt.Errorf("decode %T: %w", value, err)
	}
	return value, nil
}

// scheduleOf is when the job runs.
func scheduleOf(row *ent.Schedule) job.Schedule {
	return job.Schedule{
		Type:            job.FrequencyType(row.Type),
		Cron:            row.Cron,
		IntervalMinutes: row.Minutes,
		TimeZone:        row.TimeZone,
		Anchor:          timeOf(row.Anchor),
	}
}

// visibleState is what people see of an active row: one that is claimed but
// has not reported its start is still in the queue.
func visibleState(stored string, startedAt int64) job.State {
	if state := job.State(stored); state != job.StateRunning || startedAt > 0 {
		return state
	}
	return job.StateQueued
}

// executionOfActive is an execution that has not ended. The error is that of
// an earlier attempt, or why it is being cancelled.
func executionOfActive(row *ent.ActiveExecution) (job.Execution, error) {
	e := job.Execution{
		ID:           row.ID,
		JobID:        row.JobID,
		InstanceID:   row.InstanceID,
		Trigger:      job.Trigger(row.Trigger),
		TriggerID:    row.TriggerID,
		ScheduledFor: timeOf(row.ScheduledFor),
		CreatedAt:    timeOf(row.CreatedAt),
		StartedAt:    timeOf(row.StartedAt),
		State:        visibleState(row.State, row.StartedAt),
		Attempt:      row.Attempt,
		Fence:        row.Fence,
		LogBytes:     row.LogBytes,
	}
	return fillExecution(e, row.Error, row.Tasks)
}

// executionOfHistory is an execution that has ended.
func executionOfHistory(row *ent.Execution) (job.Execution, error) {
	e := job.Execution{
		ID:           row.ID,
		JobID:        row.JobID,
		InstanceID:   row.InstanceID,
		Trigger:      job.Trigger(row.Trigger),
		TriggerID:    row.TriggerID,
		ScheduledFor: timeOf(row.ScheduledFor),
		CreatedAt:    timeOf(row.CreatedAt),
		StartedAt:    timeOf(row.StartedAt),
		FinishedAt:   timeOf(row.FinishedAt),
		State:        job.State(row.State),
		Attempt:      row.Attempt,
		Fence:        row.Fence,
		LogBytes:     row.LogBytes,
	}
	return fillExecution(e, row.Error, row.Tasks)
}

// fillExecution adds what is stored as JSON.
func fillExecution(e job.Execution, failure, tasks string) (job.Execution, error) {
	var err error
	if e.Error, err = failureOf(failure); err != nil {
		return job.Execution{}, fmt.Errorf("execution %d: %w", e.ID, err)
	}
	if e.State == job.StateRunning {
		e.Error = nil
	}
	if e.Tasks, err = tasksOf(tasks); err != nil {
		return job.Execution{}, fmt.Errorf("execution %d: %w", e.ID, err)
	}
	return e, nil
}
