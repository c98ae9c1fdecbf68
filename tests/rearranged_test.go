package tests

import (
	"slices"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// rearranged is an absence in which occurrences were skipped and moved: of the first
// ones, which are too late at its end, and of some that are not.
func rearranged(fields object, due func(time.Time) bool, now time.Time) absence {
	const apart = 20 * time.Minute // beyond the ten minutes of an hour that are due
	what := map[time.Time]string{}
	slot := func(ahead time.Duration, outcome string) time.Time {
		at := now.Add(ahead).Truncate(time.Minute)
		for !due(at) || what[at] != "" {
			at = at.Add(time.Minute)
		}
		what[at] = outcome
		return at
	}
	text := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
	is := func(at time.Time) string { return what[at.Add(away)] }
	return absence{
		fields: fields, due: due,
		before: func(t *testing.T, door harness.Door, job string) {
			for _, ahead := range []time.Duration{2 * time.Hour, 30 * time.Hour} {
				harness.Must(t, door, "SkipOccurrence", object{"jobId": job, "scheduledFor": text(slot(ahead, "SKIPPED_BY_CALLER"))})
			}
			for ahead, outcome := range map[time.Duration]string{3 * time.Hour: "MISSED", 31 * time.Hour: "STARTED"} {
				at := slot(ahead, outcome)
				harness.Must(t, door, "MoveOccurrence", object{"jobId": job, "scheduledFor": text(at), "moveTo": text(at.Add(apart))})
			}
		},
		starts: func(due []time.Time) []time.Time {
			free := slices.DeleteFunc(slices.Clone(due), func(at time.Time) bool { return is(at) != "" })
			moved := slices.DeleteFunc(slices.Clone(due), func(at time.Time) bool { return is(at) != "STARTED" })
			return append(moved, newestOf(free, now.Add(-24*time.Hour), 1)...)
		},
		reason: func(at time.Time) string {
			if is(at) != "" {
				return is(at)
			}
			return "MISSED"
		},
	}
}

// backfillAll runs all of the absence again: the ledger tells its instants as before.
func backfillAll(due func(time.Time) bool) func(*testing.T, harness.Door, string) {
	return func(t *testing.T, door harness.Door, job string) {
		t.Helper()
		from := timeOf(t, harness.Must(t, door, "GetJob", object{"jobId": job}), "createdAt").Truncate(time.Minute)
		to := from.Add(away / 2)
		made := harness.Must(t, door, "BackfillJob", object{
			"jobId": job, "from": from.Format(time.RFC3339), "to": to.Format(time.RFC3339), "overlapPolicy": "ALLOW", "concurrency": 20,
		})
		harness.Wait(t, 30*time.Second, "the backfill has finished", func() bool {
			return harness.Must(t, door, "GetBackfill", object{"backfillId": made["id"]})["state"] == "FINISHED"
		})
		want := 0
		for at := from; at.Before(to); at = at.Add(time.Minute) {
			if due(at) {
				want++
			}
		}
		ran := harness.List(harness.Must(t, door, "ListExecutions", object{"jobId": job, "pageSize": 1000}), "executions")
		ran = slices.DeleteFunc(ran, func(e object) bool { return e["triggerId"] != made["id"] || e["state"] != "SUCCEEDED" })
		if len(ran) != want {
			t.Errorf("the backfill ran %d instants, want %d", len(ran), want)
		}
	}
}
