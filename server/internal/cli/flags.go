package cli

import (
	"maps"
	"slices"
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

func overlapPolicy(text string) (carillonv1.Job_OverlapPolicy, error) {
	return enum[carillonv1.Job_OverlapPolicy]("overlap-policy", text, carillonv1.Job_OverlapPolicy_name)
}

// enum reads a flag that is one of an enum's names, in any case; empty is not
// given, as is the name of 0.
func enum[E ~int32](flag, text string, names map[int32]string) (E, error) {
	if text == "" {
		return 0, nil
	}
	wanted := strings.ToUpper(strings.ReplaceAll(text, "-", "_"))
	for number, name := range names {
		if number != 0 && name == wanted {
			return E(number), nil
		}
	}
	return 0, usage("--%s: %q is none of %s", flag, text, strings.Join(enumNames(names), ", "))
}

// enumNames are an enum's names but for that of 0, in their order.
func enumNames(names map[int32]string) []string {
	var list []string
	for _, number := range slices.Sorted(maps.Keys(names)) {
		if number != 0 {
			list = append(list, names[number])
		}
	}
	return list
}

// selector reads key=value[,key=value]: labels that must all be there.
func selector(flag, text string) (map[string]string, error) {
	wanted := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" {
			return nil, usage("--%s: %q is not key=value", flag, part)
		}
		wanted[key] = value
	}
	return wanted, nil
}

// labelText is labels as they are written in a selector, in a stable order.
func labelText(labels map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
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
