package job

import "time"

// Trigger is what made an execution.
type Trigger string

// The triggers.
const (
	TriggerSchedule Trigger = "SCHEDULE"
	TriggerManual   Trigger = "MANUAL"
	TriggerBackfill Trigger = "BACKFILL"
)

// State is how far an execution is.
type State string

// The states of an execution. The first four are active, the others final.
const (
	StateQueued             State = "QUEUED"
	StateRunning            State = "RUNNING"
	StateAwaitingApproval   State = "AWAITING_APPROVAL"
	StateCancelling         State = "CANCELLING"
	StateSucceeded          State = "SUCCEEDED"
	StatePartiallySucceeded State = "PARTIALLY_SUCCEEDED"
	StateFailed             State = "FAILED"
	StateCancelled          State = "CANCELLED"
	StateWorkerLost         State = "WORKER_LOST"
)

// Ended tells whether the state is final.
func (s State) Ended() bool {
	switch s {
	case StateQueued, StateRunning, StateAwaitingApproval, StateCancelling:
		return false
	}
	return true
}

// TaskState is how far a task is.
type TaskState string

// The states of a task.
const (
	TaskPending   TaskState = "PENDING"
	TaskRunning   TaskState = "RUNNING"
	TaskSucceeded TaskState = "SUCCEEDED"
	TaskFailed    TaskState = "FAILED"
	TaskSkipped   TaskState = "SKIPPED"
	TaskCancelled TaskState = "CANCELLED"
	// TaskPartiallySucceeded is a task that did a part of its work. What needs
	// the task does not start.
	TaskPartiallySucceeded TaskState = "PARTIALLY_SUCCEEDED"
	// TaskAwaitingApproval is a task that a guard has stopped.
	TaskAwaitingApproval TaskState = "AWAITING_APPROVAL"
)

// TaskRecord is what is kept of one task of an execution.
type TaskRecord struct {
	Name       string    `json:"name"`
	Type       string    `json:"type"`
	State      TaskState `json:"state"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// Attempt is the number of the last try within this attempt of the
	// execution, from 1; 0 before the first.
	Attempt int `json:"attempt,omitempty"`
	// NextAttemptAt is when the next try begins, zero unless the task waits.
	NextAttemptAt time.Time `json:"nextAttemptAt,omitzero"`
	// Error is why it did not succeed, or, while it runs, why its last try did
	// not.
	Error *Failure `json:"error,omitempty"`
	// Report is nil for a task that tells nothing of files.
	Report *TaskReport `json:"report,omitempty"`
}

// Execution is one run of a job's workflow.
type Execution struct {
	ID         int64
	JobID      int64
	InstanceID int64
	Trigger    Trigger
	// TriggerID is empty for scheduled ones, the request's id for manual ones.
	TriggerID string
	// ScheduledFor is the instant that it stands for.
	ScheduledFor time.Time
	CreatedAt    time.Time
	// StartedAt is when the last attempt started, zero before.
	StartedAt time.Time
	// FinishedAt is zero until it has ended.
	FinishedAt time.Time
	State      State
	// Attempt is the number of the last attempt, from 1; 0 before the first.
	Attempt int
	// Fence rises with every attempt of any execution of the job.
	Fence int64
	// WaitingFor is the execution that works on a folder which this one needs,
	// negative for one of another instance, 0 for none.
	WaitingFor int64
	// ReadyAt is when one that waits neither for others of its job nor for folders
	// may start, its next attempt too; zero for all others.
	ReadyAt time.Time
	// Error is nil while running and after success.
	Error *Failure
	Tasks []TaskRecord
	// LogBytes is the size of the stored log; 0 means there is no log object.
	LogBytes int64
}

// WaitNoPlace is the reason why something does not start that is due: no process
// has had a place for it.
const WaitNoPlace = "NO_FREE_PLACE"

// patience is how late something may be before that counts as a wait for a place.
const patience = time.Second

// WantsPlace tells whether what may start at a time still waits for a place. Zero
// is never.
func WantsPlace(at, now time.Time) bool { return !at.IsZero() && now.Sub(at) > patience }
