package job

import (
	"encoding/json"
	"time"
)

// Plan is what a task would do with one destination.
type Plan struct {
	Task string `json:"task"`
	// Remote is the destination: drive:/scans.
	Remote string `json:"remote"`
	// Digest stands for every change of the plan; another plan has another one.
	Digest string   `json:"digest,omitempty"`
	Copy   PlanPart `json:"copy,omitzero"`
	Update PlanPart `json:"update,omitzero"`
	Delete PlanPart `json:"delete,omitzero"`
	// Conflicts are files that changed on both sides of a bisync.
	Conflicts PlanPart `json:"conflicts,omitzero"`
	// Found is how many files the source has, Unchanged how many of them are
	// equal already.
	Found     int64 `json:"found,omitempty"`
	Unchanged int64 `json:"unchanged,omitempty"`
	// Guard is the guard that stops the plan, nil when none does.
	Guard *Failure `json:"guard,omitempty"`
	// Incomplete says that time ran out before everything was compared: the
	// numbers are those so far.
	Incomplete bool `json:"incomplete,omitempty"`
	// Error is why there is no plan, nil when there is one.
	Error *Failure `json:"error,omitempty"`
}

// PlanPart counts the files of a plan to which the same happens.
type PlanPart struct {
	Files int64 `json:"files,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
	// Samples are paths of the first few.
	Samples []string `json:"samples,omitempty"`
}

// ApprovalState is what became of a plan that waited for approval.
type ApprovalState string

// The states of an approval.
const (
	ApprovalPending  ApprovalState = "PENDING"
	ApprovalApproved ApprovalState = "APPROVED"
	ApprovalRejected ApprovalState = "REJECTED"
	ApprovalExpired  ApprovalState = "EXPIRED"
	// ApprovalCancelled is that of an execution that was cancelled before.
	ApprovalCancelled ApprovalState = "CANCELLED"
)

// Approval is what an execution waits for whose tasks were stopped by a guard.
type Approval struct {
	ExecutionID int64
	// Attempt is the attempt that was stopped; the next one continues.
	Attempt int
	State   ApprovalState
	// Digest stands for all plans together.
	Digest      string
	Plans       []Plan
	RequestedAt time.Time
	ExpiresAt   time.Time
	// DecidedBy and DecidedAt are who decided and when, empty before.
	DecidedBy string
	DecidedAt time.Time
	// Snapshot is what the attempt that continues must know; it is opaque to
	// the store.
	Snapshot json.RawMessage
}

// The reasons of approvals.
const (
	ReasonNotAwaiting     = "NOT_AWAITING_APPROVAL"
	ReasonPlanChanged     = "PLAN_CHANGED"
	ReasonPlanRejected    = "PLAN_REJECTED"
	ReasonApprovalExpired = "APPROVAL_EXPIRED"
)
