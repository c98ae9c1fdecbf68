package job

import "time"

// Counters count what a task did with files. They rise while it runs.
type Counters struct {
	// Found is how many files the source has.
	Found   int64 `json:"found,omitempty"`
	Copied  int64 `json:"copied,omitempty"`
	Updated int64 `json:"updated,omitempty"`
	Deleted int64 `json:"deleted,omitempty"`
	// Skipped is how many files were left as they are: equal already, or none
	// that could be synced.
	Skipped int64 `json:"skipped,omitempty"`
	Failed  int64 `json:"failed,omitempty"`
	// Conflicts is how many files had changed on both sides of a bisync.
	Conflicts int64 `json:"conflicts,omitempty"`
	// Bytes is the size of the files copied and updated.
	Bytes int64 `json:"bytes,omitempty"`
	// TotalFiles and TotalBytes are how much there is to copy, update and
	// delete, as far as it is known.
	TotalFiles int64 `json:"totalFiles,omitempty"`
	TotalBytes int64 `json:"totalBytes,omitempty"`
}

// Add adds the counters of another remote.
func (c *Counters) Add(o Counters) {
	c.Found += o.Found
	c.Copied += o.Copied
	c.Updated += o.Updated
	c.Deleted += o.Deleted
	c.Skipped += o.Skipped
	c.Failed += o.Failed
	c.Conflicts += o.Conflicts
	c.Bytes += o.Bytes
	c.TotalFiles += o.TotalFiles
	c.TotalBytes += o.TotalBytes
}

// TaskReport is what a task tells of itself while it runs and at its end.
type TaskReport struct {
	// Counters are those of all remotes together.
	Counters Counters `json:"counters,omitzero"`
	// Remotes are the destinations, in the order of the arguments.
	Remotes []RemoteReport `json:"remotes,omitempty"`
	// FileErrors sums up the files that failed, the commonest reason first.
	FileErrors []FileErrors `json:"fileErrors,omitempty"`
}

// RemoteReport is what became of one destination.
type RemoteReport struct {
	// Remote is how the arguments name it: drive:/scans.
	Remote   string    `json:"remote"`
	State    TaskState `json:"state"`
	Counters Counters  `json:"counters,omitzero"`
	Error    *Failure  `json:"error,omitempty"`
}

// FileErrors are the files of a task that failed for one reason.
type FileErrors struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	// Message is that of the first.
	Message string `json:"message"`
	// Samples are paths of the first few.
	Samples []string `json:"samples"`
}

// FileAction is what was to be done with a file.
type FileAction string

// The actions.
const (
	FileCopy     FileAction = "COPY"
	FileUpdate   FileAction = "UPDATE"
	FileDelete   FileAction = "DELETE"
	FileConflict FileAction = "CONFLICT"
)

// FileState is what became of it.
type FileState string

// The states. FileUnknown is for a file that was being changed when the
// replica died or the execution was ended: it was changed whole or not at all.
const (
	FileDone    FileState = "DONE"
	FileFailed  FileState = "FAILED"
	FileSkipped FileState = "SKIPPED"
	FilePlanned FileState = "PLANNED"
	FileUnknown FileState = "UNKNOWN"
)

// FileRecord says what became of one file in one attempt of an execution.
type FileRecord struct {
	// ID rises with each record of an execution.
	ID      int64  `json:"-"`
	Attempt int    `json:"attempt"`
	Task    string `json:"task"`
	// Remote is the destination: drive:/scans.
	Remote string     `json:"remote"`
	Action FileAction `json:"action"`
	State  FileState  `json:"state"`
	// Path is relative to the folders that are synced.
	Path string `json:"path"`
	// Size is in bytes, -1 when it is not known.
	Size int64 `json:"size"`
	// Reason is UPPER_SNAKE_CASE and stable, empty for what was done.
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

// ReasonLost is the reason of files whose replica died.
const ReasonLost = "OUTCOME_LOST"
