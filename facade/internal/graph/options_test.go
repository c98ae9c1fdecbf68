package graph

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// What a job says of its schedule and limits reads as on the other doors; what
// it does not say is null.
func TestOptionsOfAJob(t *testing.T) {
	t.Parallel()
	const query = `{ getScheduledJob(jobId: 19) { dstGapPolicy dstOverlapPolicy startTime endTime jitter excludedDates maxExecutions executionTimeLimit pauseAfterFailures priority } }`
	for name, test := range map[string]struct {
		job  *carillonv1.Job
		want string
	}{
		"nothing": {&carillonv1.Job{}, `{"dstGapPolicy": null, "dstOverlapPolicy": null, "startTime": null, "endTime": null, "jitter": null, "excludedDates": [],
			"maxExecutions": 0, "executionTimeLimit": null, "pauseAfterFailures": 0, "priority": 0}`},
		"everything": {&carillonv1.Job{
			DstGapPolicy: carillonv1.DaylightSaving_SKIP, DstOverlapPolicy: carillonv1.DaylightSaving_FIRST, StartTime: timestamppb.New(at), EndTime: timestamppb.New(at.Add(time.Microsecond)),
			Jitter: durationpb.New(1500 * time.Millisecond), ExcludedDates: []string{"2026-12-24/2027-01-06"}, MaxExecutions: 1_000_000_000,
			ExecutionTimeLimit: durationpb.New(time.Hour), PauseAfterFailures: 3, Priority: -100,
		}, `{"dstGapPolicy": "SKIP", "dstOverlapPolicy": "FIRST", "startTime": "2026-11-22T03:00:00Z", "endTime": "2026-11-22T03:00:00.000001Z", "jitter": "1.500s",
			"excludedDates": ["2026-12-24/2027-01-06"], "maxExecutions": 1000000000, "executionTimeLimit": "3600s", "pauseAfterFailures": 3, "priority": -100}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Answer("GetJob", test.job)
			wantData(t, b, query, `{"getScheduledJob": `+test.want+`}`)
		})
	}
}

func TestPreviewedOutcomes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Answer("PreviewSchedule", &carillonv1.PreviewScheduleResponse{Occurrences: []*carillonv1.PreviewedOccurrence{
		{ScheduledFor: timestamppb.New(at), StartsAt: timestamppb.New(at.Add(time.Minute)), Outcome: carillonv1.Occurrence_STARTED},
		{ScheduledFor: timestamppb.New(at.Add(time.Hour)), Outcome: carillonv1.Occurrence_SKIPPED, Reason: "OVERLAP"},
	}})
	wantData(t, b, `{ previewSchedule(frequencyType: MANUAL) { times occurrences { scheduledFor startsAt outcome reason } } }`, `{"previewSchedule": {"times": [], "occurrences": [
		{"scheduledFor": "2026-11-22T03:00:00Z", "startsAt": "2026-11-22T03:01:00Z", "outcome": "STARTED", "reason": null},
		{"scheduledFor": "2026-11-22T04:00:00Z", "startsAt": null, "outcome": "SKIPPED", "reason": "OVERLAP"}]}}`)
}

func wantData(t *testing.T, b *bench, query, data string) {
	t.Helper()
	w, got := b.post(t, query, "")
	var want any
	if err := json.Unmarshal([]byte(data), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Data); diff != "" || len(got.Errors) > 0 {
		t.Errorf("answer %s\ndata (-want +got):\n%s", w.Body, diff)
	}
}
