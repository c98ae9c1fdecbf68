package rpc_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// What excluded dates took away is told at once, not only at the next run, and
// once: also while the job is paused, and after the ticker has told it.
func TestExcludedOccurrencesAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	given := hourly(t)
	given.ExcludedDates = []string{"2026-05-04"}
	j := b.create(b.instance().GetId(), given) // at 12:00:30
	past := func() []*carillonv1.Occurrence {
		t.Helper()
		return must(b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: j.GetId(), From: day("04 00:00:00"), To: day("05 00:00:00")}))(t).GetOccurrences()
	}
	want := func(rows ...*carillonv1.Occurrence) {
		t.Helper()
		if diff := cmp.Diff(rows, past(), protocmp.Transform()); diff != "" {
			t.Errorf("occurrences (-want +got):\n%s", diff)
		}
	}
	b.clock.set(day("04 13:10:00").AsTime())
	want(row("04 13:00:00", skipped, "EXCLUDED"))
	b.clock.set(day("04 15:10:00").AsTime())
	want(row("04 13:00:00", skipped, "EXCLUDED", day("04 15:00:00"), 3))
	explained := must(b.jobs.ExplainJob(b.operator, &carillonv1.ExplainJobRequest{JobId: j.GetId()}))(t).GetExplanations()
	if !slices.ContainsFunc(explained, func(e *carillonv1.Explanation) bool {
		return e.GetText() == "2026-05-04 13:00 UTC: 3 occurrences from then to 2026-05-04 15:00 UTC were left out, as the job's excluded dates say."
	}) {
		t.Errorf("explained as %v", explained)
	}
	must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: j.GetId()}))(t)
	b.clock.set(day("04 17:10:00").AsTime())
	want(row("04 13:00:00", skipped, "EXCLUDED", day("04 15:00:00"), 3), row("04 16:00:00", skipped, "EXCLUDED", day("04 17:00:00"), 2))
	must(b.jobs.ResumeJob(b.operator, &carillonv1.ResumeJobRequest{JobId: j.GetId()}))(t)
	b.clock.set(day("05 00:00:00.01").AsTime())
	before := past()
	b.tick()
	count := int32(0)
	for _, o := range past() {
		count += o.GetCount()
	}
	if count != 11 {
		t.Errorf("11 occurrences are told as %d:\n%v, before the tick\n%v", count, past(), before)
	}
}
