package cli

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// instant reads a time flag: RFC 3339, or a duration from now, which may be
// negative. Empty is no time.
func instant(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return timestamppb.New(time.Now().Add(d)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, usage("--%s: %q is neither an RFC 3339 time such as 2026-12-24T18:00:00Z nor a duration from now such as 90m or -24h", flag, text)
	}
	return timestamppb.New(t), nil
}

// needInstant is instant for a value that must be there.
func needInstant(flag, text string) (*timestamppb.Timestamp, error) {
	t, err := instant(flag, text)
	if err == nil && t == nil {
		err = usage("--%s is needed", flag)
	}
	return t, err
}

// overlapPolicy reads a policy's name in any case; empty is not given.
func overlapPolicy(text string) (carillonv1.Job_OverlapPolicy, error) {
	if text == "" {
		return 0, nil
	}
	name := strings.ToUpper(strings.ReplaceAll(text, "-", "_"))
	if n, ok := carillonv1.Job_OverlapPolicy_value[name]; ok && n != 0 {
		return carillonv1.Job_OverlapPolicy(n), nil
	}
	return 0, usage("--overlap-policy: %q is none of SKIP, BUFFER_ONE, BUFFER_ALL, CANCEL_OTHER, ALLOW", text)
}

// selector reads -l key=value[,key=value]: labels that must all be there.
func selector(text string) (map[string]string, error) {
	wanted := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" {
			return nil, usage("--label: %q is not key=value", part)
		}
		wanted[key] = value
	}
	return wanted, nil
}

func matches(labels, wanted map[string]string) bool {
	for key, value := range wanted {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}

// schedule is when a job runs, in a few words.
func schedule(j *carillonv1.Job) string {
	switch j.GetFrequencyType() {
	case carillonv1.Job_CRON_BASED:
		return j.GetCronExpression().GetValue() + " " + j.GetTimeZone()
	case carillonv1.Job_INTERVAL_BASED:
		return "every " + strings.TrimSuffix(rough(time.Duration(j.GetIntervalMinutes().GetValue())*time.Minute), "0s")
	default:
		return "by hand"
	}
}
