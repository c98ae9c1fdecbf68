package job

import "time"

// RemoteCheck is one thing that a remote is tried for.
type RemoteCheck string

// What a remote is tried for, in this order.
const (
	CheckConnect RemoteCheck = "CONNECT"
	CheckList    RemoteCheck = "LIST"
	CheckWrite   RemoteCheck = "WRITE"
	CheckQuota   RemoteCheck = "QUOTA"
)

// CheckOutcome is what came of it.
type CheckOutcome string

// The outcomes of a check.
const (
	CheckOK      CheckOutcome = "OK"
	CheckFailed  CheckOutcome = "FAILED"
	CheckSkipped CheckOutcome = "SKIPPED"
)

// RemoteTest tells what a remote can do at a folder.
type RemoteTest struct {
	// Remote is name:/path.
	Remote, Type string
	Results      []CheckResult
	// Quota is nil when the service did not tell.
	Quota *RemoteQuota
	// Warnings say what to look after although it works.
	Warnings []string
}

// CheckResult is what came of one check.
type CheckResult struct {
	Check   RemoteCheck
	Outcome CheckOutcome
	// Code is a failure's; Reason and Message also tell why one was skipped.
	Code, Reason, Message string
	Took                  time.Duration
}

// Works tells whether nothing failed.
func (t RemoteTest) Works() bool {
	for _, r := range t.Results {
		if r.Outcome == CheckFailed {
			return false
		}
	}
	return true
}

// RemoteQuota is how much room there is, in bytes, as far as a service tells.
type RemoteQuota struct{ Total, Used, Free *int64 }
