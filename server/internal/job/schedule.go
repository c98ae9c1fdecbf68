package job

import "time"

// FrequencyType is what decides when a job runs.
type FrequencyType string

// The frequency types.
const (
	CronBased     FrequencyType = "CRON_BASED"
	IntervalBased FrequencyType = "INTERVAL_BASED"
	Manual        FrequencyType = "MANUAL"
)

// Schedule is when a job runs. Package schedule turns it into times.
type Schedule struct {
	Type FrequencyType `json:"type"`
	// Cron is five fields as in Vixie cron; only with CronBased.
	Cron string `json:"cron,omitempty"`
	// IntervalMinutes is 1 to 525600; only with IntervalBased.
	IntervalMinutes int `json:"intervalMinutes,omitempty"`
	// TimeZone is an IANA name, never empty.
	TimeZone string `json:"timeZone,omitempty"`
	// Anchor is what an interval counts from: the creation, or the last time
	// that the interval or type changed or the job was activated, cut to the
	// second.
	Anchor time.Time `json:"anchor,omitzero"`
}

// OverlapPolicy says what happens to an occurrence that is due while an
// execution of the same job has not ended.
type OverlapPolicy string

// The overlap policies; see proto Job.OverlapPolicy.
const (
	OverlapSkip        OverlapPolicy = "SKIP"
	OverlapBufferOne   OverlapPolicy = "BUFFER_ONE"
	OverlapBufferAll   OverlapPolicy = "BUFFER_ALL"
	OverlapCancelOther OverlapPolicy = "CANCEL_OTHER"
	OverlapAllow       OverlapPolicy = "ALLOW"
)

// Waits tells whether an occurrence under this policy waits until no other
// execution of the job runs.
func (p OverlapPolicy) Waits() bool {
	return p == OverlapBufferOne || p == OverlapBufferAll || p == OverlapCancelOther
}

// CatchUpPolicy says what happens to occurrences missed while nothing ran.
type CatchUpPolicy string

// The catch-up policies; see proto Job.CatchUpPolicy.
const (
	CatchUpLatest CatchUpPolicy = "LATEST"
	CatchUpAll    CatchUpPolicy = "ALL"
	CatchUpNone   CatchUpPolicy = "NONE"
)

// The defaults and bounds of policies.
const (
	DefaultCatchUpWindow = 24 * time.Hour
	// MaxCatchUp bounds how many missed occurrences one catch-up starts.
	MaxCatchUp = 100
	// MaxBuffered bounds how many executions of one job wait.
	MaxBuffered = 100
)

// Policies are what a job does when occurrences collide, are missed or fail.
type Policies struct {
	Overlap OverlapPolicy `json:"overlap,omitempty"`
	CatchUp CatchUpPolicy `json:"catchUp,omitempty"`
	// CatchUpWindow is how old a missed occurrence may be and still run.
	CatchUpWindow time.Duration `json:"catchUpWindow,omitempty"`
	// Retry is nil when a failed execution waits for the next occurrence.
	Retry *RetryPolicy `json:"retry,omitempty"`
}

// WithDefaults fills what is not given.
func (p Policies) WithDefaults() Policies {
	if p.Overlap == "" {
		p.Overlap = OverlapSkip
	}
	if p.CatchUp == "" {
		p.CatchUp = CatchUpLatest
	}
	if p.CatchUpWindow == 0 {
		p.CatchUpWindow = DefaultCatchUpWindow
	}
	return p
}

// RetryPolicy is how a failed attempt is followed by another one.
type RetryPolicy struct {
	// Count is how many attempts may follow the first.
	Count int `json:"count"`
	// MinBackoff is the first delay.
	MinBackoff time.Duration `json:"minBackoff"`
	// MaxBackoff is the longest delay.
	MaxBackoff time.Duration `json:"maxBackoff"`
	// MaxDoublings is how often the delay doubles before it grows linearly.
	MaxDoublings int `json:"maxDoublings"`
	// MaxDuration bounds the start of the last attempt, counted from the start
	// of the first; zero means no bound.
	MaxDuration time.Duration `json:"maxDuration,omitempty"`
}

// The reasons of a Skip.
const (
	// SkipOverlap: an earlier execution had not ended.
	SkipOverlap = "OVERLAP"
	// SkipMissed: nothing ran at that time and the catch-up policy did not
	// make it up.
	SkipMissed = "MISSED"
	// SkipPaused: the job was paused.
	SkipPaused = "PAUSED"
	// SkipSuperseded: the schedule was changed before the ticker came to it.
	SkipSuperseded = "SUPERSEDED"
	// SkipQuota: too many executions of the job wait already.
	SkipQuota = "QUOTA"
)

// Skip is a row of the ledger: due instants that did not start. Consecutive
// ones with the same reason and blocker fold into one row.
type Skip struct {
	ID         int64
	JobID      int64
	InstanceID int64
	Reason     string
	// First and Last are the range of instants, both included.
	First time.Time
	Last  time.Time
	// Count is how many instants the row stands for.
	Count int64
	// BlockedBy is the execution that stood in the way, 0 for none.
	BlockedBy int64
}
