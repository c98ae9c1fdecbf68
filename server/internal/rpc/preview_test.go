package rpc_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// cronAt asks for a preview of a cron job.
func cronAt(cron, zone string, edit ...func(*carillonv1.PreviewScheduleRequest)) *carillonv1.PreviewScheduleRequest {
	in := &carillonv1.PreviewScheduleRequest{
		FrequencyType: carillonv1.Job_CRON_BASED, CronExpression: wrapperspb.String(cron), TimeZone: &zone, Count: 3,
	}
	for _, do := range edit {
		do(in)
	}
	return in
}

func TestPreviewOptions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := func(text string) func(*carillonv1.PreviewScheduleRequest) {
		return func(in *carillonv1.PreviewScheduleRequest) {
			parsed, err := time.Parse(time.RFC3339, text)
			if err != nil {
				t.Fatal(err)
			}
			in.After = timestamppb.New(parsed)
		}
	}
	clock := func(gap carillonv1.DaylightSaving_GapPolicy, overlap carillonv1.DaylightSaving_OverlapPolicy) func(*carillonv1.PreviewScheduleRequest) {
		return func(in *carillonv1.PreviewScheduleRequest) { in.DstGapPolicy, in.DstOverlapPolicy = gap, overlap }
	}
	spring, autumn := at("2026-03-07T12:00:00Z"), at("2026-10-31T12:00:00Z")
	for name, test := range map[string]struct {
		in       *carillonv1.PreviewScheduleRequest
		times    []string
		warnings []string
	}{
		"gap":             {cronAt("30 2 * * *", "America/New_York", spring), []string{"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"}, []string{"DST_GAP", "DST_GAP"}},
		"gap, skipped":    {cronAt("30 2 * * *", "America/New_York", spring, clock(gapSkip, 0)), []string{"2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z", "2026-03-11T06:30:00Z"}, []string{"DST_GAP", "DST_GAP"}},
		"overlap":         {cronAt("30 1 * * *", "America/New_York", autumn, clock(gapForward, clockFirst)), []string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z", "2026-11-03T06:30:00Z"}, []string{"DST_OVERLAP", "DST_OVERLAP"}},
		"overlap, both":   {cronAt("30 1 * * *", "America/New_York", autumn, clock(0, clockBoth)), []string{"2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"}, []string{"DST_OVERLAP", "DST_OVERLAP"}},
		"start":           {cronAt("0 12 * * *", "UTC", func(in *carillonv1.PreviewScheduleRequest) { in.StartTime = day("10 12:00:00") }), []string{"2026-05-10T12:00:00Z", "2026-05-11T12:00:00Z", "2026-05-12T12:00:00Z"}, nil},
		"end":             {cronAt("0 12 * * *", "UTC", func(in *carillonv1.PreviewScheduleRequest) { in.EndTime = day("06 12:00:00") }), []string{"2026-05-05T12:00:00Z"}, nil},
		"end of the past": {cronAt("0 12 * * *", "UTC", func(in *carillonv1.PreviewScheduleRequest) { in.EndTime = day("04 00:00:00") }), nil, []string{"NO_MORE_SLOTS"}},
		"dates": {cronAt("0 0 * * *", "Europe/Helsinki", func(in *carillonv1.PreviewScheduleRequest) {
			in.ExcludedDates = []string{"2026-05-06/2026-05-07", "2026-05-09"}
		}), []string{"2026-05-04T21:00:00Z", "2026-05-07T21:00:00Z", "2026-05-09T21:00:00Z"}, nil},
		"jitter": {cronAt("0 12 * * *", "UTC", func(in *carillonv1.PreviewScheduleRequest) { in.Jitter = durationpb.New(time.Hour) }), []string{"2026-05-05T12:00:00Z", "2026-05-06T12:00:00Z", "2026-05-07T12:00:00Z"}, nil},
		"interval and dates": {&carillonv1.PreviewScheduleRequest{
			FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(1440), Count: 2, ExcludedDates: []string{"2026-05-05"},
		}, []string{"2026-05-06T12:00:30Z", "2026-05-07T12:00:30Z"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := must(b.jobs.PreviewSchedule(b.operator, test.in))(t)
			var times, warnings []string
			for _, at := range got.GetTimes() {
				times = append(times, at.AsTime().Format(time.RFC3339Nano))
			}
			for _, w := range got.GetWarnings() {
				warnings = append(warnings, w.GetCode())
			}
			if diff := cmp.Diff([][]string{test.times, test.warnings}, [][]string{times, warnings}); diff != "" {
				t.Errorf("times and warnings (-want +got):\n%s", diff)
			}
			if len(got.GetOccurrences()) != 0 {
				t.Errorf("outcomes are told without a duration: %v", got.GetOccurrences())
			}
		})
	}
}

func TestPreviewOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const skip = carillonv1.Job_OVERLAP_POLICY_UNSPECIFIED
	outcome := func(slot, starts string) *carillonv1.PreviewedOccurrence {
		o := &carillonv1.PreviewedOccurrence{ScheduledFor: day(slot), Outcome: skipped, Reason: "OVERLAP"}
		if starts != "" {
			o.StartsAt, o.Outcome, o.Reason = day(starts), started, ""
		}
		return o
	}
	for name, test := range map[string]struct {
		overlap carillonv1.Job_OverlapPolicy
		lasts   time.Duration
		want    []*carillonv1.PreviewedOccurrence
	}{
		"short": {skip, time.Minute, []*carillonv1.PreviewedOccurrence{
			outcome("04 12:01:00", "04 12:01:00"), outcome("04 12:02:00", "04 12:02:00"), outcome("04 12:03:00", "04 12:03:00"),
		}},
		"skip": {skip, 90 * time.Second, []*carillonv1.PreviewedOccurrence{
			outcome("04 12:01:00", "04 12:01:00"), outcome("04 12:02:00", ""), outcome("04 12:03:00", "04 12:03:00"),
		}},
		"buffer": {carillonv1.Job_BUFFER_ALL, 90 * time.Second, []*carillonv1.PreviewedOccurrence{
			outcome("04 12:01:00", "04 12:01:00"), outcome("04 12:02:00", "04 12:02:30"), outcome("04 12:03:00", "04 12:04:00"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := cronAt("* * * * *", "UTC")
			in.OverlapPolicy, in.AssumedDuration = test.overlap, durationpb.New(test.lasts)
			got := must(b.jobs.PreviewSchedule(b.operator, in))(t)
			if diff := cmp.Diff(test.want, got.GetOccurrences(), protocmp.Transform()); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
	// An interval counts from the time after which it is previewed.
	in := &carillonv1.PreviewScheduleRequest{
		FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(1), Count: 2, After: day("06 00:00:00.5"), AssumedDuration: durationpb.New(61 * time.Second),
	}
	want := []*carillonv1.PreviewedOccurrence{outcome("06 00:01:00", "06 00:01:00"), outcome("06 00:02:00", "")}
	if diff := cmp.Diff(want, must(b.jobs.PreviewSchedule(b.operator, in))(t).GetOccurrences(), protocmp.Transform()); diff != "" {
		t.Errorf("outcomes of an interval (-want +got):\n%s", diff)
	}
}

func TestPreviewRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, test := range map[string]struct {
		edit func(*carillonv1.PreviewScheduleRequest)
		want []string
	}{
		"duration of nothing": {func(in *carillonv1.PreviewScheduleRequest) { in.AssumedDuration = durationpb.New(0) }, []string{"assumedDuration DURATION_GT_LTE"}},
		"duration too long":   {func(in *carillonv1.PreviewScheduleRequest) { in.AssumedDuration = durationpb.New(721 * time.Hour) }, []string{"assumedDuration DURATION_GT_LTE"}},
		"unknown policy":      {func(in *carillonv1.PreviewScheduleRequest) { in.OverlapPolicy = 99 }, []string{"overlapPolicy ENUM_DEFINED_ONLY"}},
		"window and dates": {func(in *carillonv1.PreviewScheduleRequest) {
			in.StartTime, in.EndTime, in.ExcludedDates = day("06 00:00:00"), day("05 00:00:00"), []string{"2026-05-01", "2026-05-32"}
		}, []string{"endTime END_BEFORE_START", "excludedDates[1] EXCLUSION_DATE"}},
		"clock of an interval": {func(in *carillonv1.PreviewScheduleRequest) {
			proto.Merge(in, &carillonv1.PreviewScheduleRequest{FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(5), DstOverlapPolicy: clockBoth})
			in.CronExpression = nil
		}, []string{"dstOverlapPolicy NOT_FOR_FREQUENCY_TYPE"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.jobs.PreviewSchedule(b.operator, cronAt("* * * * *", "UTC", test.edit))
			wantCode(t, err, codes.InvalidArgument, "")
			if diff := cmp.Diff(test.want, violations(err)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}
