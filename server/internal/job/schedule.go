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

// DefaultTimeZone is that of a job for which none was given.
const DefaultTimeZone = "UTC"

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
	ScheduleOptions
}

// ScheduleOptions are what few schedules have.
type ScheduleOptions struct {
	// DSTGap and DSTOverlap are empty for the defaults, SHIFT_FORWARD and FIRST.
	DSTGap     DSTGapPolicy     `json:"dstGap,omitempty"`
	DSTOverlap DSTOverlapPolicy `json:"dstOverlap,omitempty"`
	// Start (inclusive) and End (exclusive) bound the slots; zero for none.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	// Jitter is the longest time that an occurrence may start after its slot.
	Jitter time.Duration `json:"jitter,omitempty"`
	// ExcludedDates are dates in the time zone, 2026-12-24, or ranges with both
	// ends, 2026-12-24/2027-01-06.
	ExcludedDates []string `json:"excludedDates,omitempty"`
	// Since is up to where the excluded slots of this schedule are told, at first
	// when it began to hold; kept only with ExcludedDates.
	Since time.Time `json:"since,omitzero"`
}

// IsZero tells whether everything is the default.
func (o ScheduleOptions) IsZero() bool {
	return (o.DSTGap == "" || o.DSTGap == GapShiftForward) && (o.DSTOverlap == "" || o.DSTOverlap == OverlapFirst) &&
		o.Start.IsZero() && o.End.IsZero() && o.Jitter == 0 && len(o.ExcludedDates) == 0
}

// DSTGapPolicy says what happens at a local time that the clock skips.
type DSTGapPolicy string

// DSTOverlapPolicy says what happens at a local time that comes twice.
type DSTOverlapPolicy string

// The policies for changes of the clock; see proto DaylightSaving.
const (
	GapShiftForward DSTGapPolicy     = "SHIFT_FORWARD"
	GapSkip         DSTGapPolicy     = "SKIP"
	OverlapFirst    DSTOverlapPolicy = "FIRST"
	OverlapBoth     DSTOverlapPolicy = "BOTH"
)

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
	// MaxExecutions is after how many executions by schedule the job is
	// exhausted; 0 is no limit.
	MaxExecutions int64 `json:"maxExecutions,omitempty"`
	// TimeLimit is how long an attempt may run; 0 is no limit.
	TimeLimit time.Duration `json:"timeLimit,omitempty"`
	// PauseAfterFailures is after how many executions in a row that did not
	// succeed the job is paused; 0 is never.
	PauseAfterFailures int `json:"pauseAfterFailures,omitempty"`
	// Priority orders what is due or waits in an instance, the highest first.
	Priority int `json:"priority,omitempty"`
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
	// SkipQuota: too many executions of the job wait already, or its instance
	// has used up its executions of the hour; then nothing blocks it.
	SkipQuota = "QUOTA"
	// SkipExcluded: its date is one of the excluded dates.
	SkipExcluded = "EXCLUDED"
	// SkipRemoteBusy: an execution of another job, or a backfill, works on a
	// folder that this one would.
	SkipRemoteBusy = "REMOTE_BUSY"
	// SkipByCaller: a caller left this occurrence out.
	SkipByCaller = "SKIPPED_BY_CALLER"
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
	// Apart keeps it out of the row before it, since another row tells an instant
	// between them, now or later. Alone keeps what comes next out of it as well: it
	// is told out of its turn. Neither is stored.
	Apart, Alone bool
}
