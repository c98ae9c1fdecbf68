package job

// Quota is what the operator gave to one instance. A limit that is nil is the
// server's default.
type Quota struct {
	Jobs               *int32 `json:"jobs,omitempty"`
	ExecutionsPerHour  *int32 `json:"executionsPerHour,omitempty"`
	LogMebibytes       *int32 `json:"logMebibytes,omitempty"`
	MinIntervalMinutes *int32 `json:"minIntervalMinutes,omitempty"`
}

// Limits are what an instance may use at most; 0 is no limit.
type Limits struct {
	Jobs               int32
	ExecutionsPerHour  int32
	LogMebibytes       int32
	MinIntervalMinutes int32
}

// Or fills in the defaults.
func (q Quota) Or(defaults Limits) Limits {
	or := func(own *int32, other int32) int32 {
		if own != nil {
			return *own
		}
		return other
	}
	return Limits{
		Jobs:               or(q.Jobs, defaults.Jobs),
		ExecutionsPerHour:  or(q.ExecutionsPerHour, defaults.ExecutionsPerHour),
		LogMebibytes:       or(q.LogMebibytes, defaults.LogMebibytes),
		MinIntervalMinutes: or(q.MinIntervalMinutes, defaults.MinIntervalMinutes),
	}
}

// Usage is what an instance uses.
type Usage struct {
	Jobs int32
	// ExecutionsThisHour are counted only while there is a limit of them.
	ExecutionsThisHour int32
	// LogBytes is the size of the stored logs.
	LogBytes int64
}

// ReasonQuota is the reason of refusals by an instance's quota.
const ReasonQuota = "QUOTA"
