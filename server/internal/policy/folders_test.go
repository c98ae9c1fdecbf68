package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

func folders(paths ...string) []job.Folder {
	var list []job.Folder
	for _, path := range paths {
		list = append(list, job.Folder{ResourceID: 1, Remote: "a", Path: path, Writes: true})
	}
	return list
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	holder := func(id int64, running bool, paths ...string) store.Holder {
		return store.Holder{ExecutionID: id, InstanceID: 1, Running: running, Folders: folders(paths...)}
	}
	foreign := holder(9, true, "f")
	foreign.InstanceID = 2
	for name, c := range map[string]struct {
		holders []store.Holder
		want    map[int64]int64
	}{
		"nobody":                     {nil, map[int64]int64{}},
		"free folders":               {[]store.Holder{holder(1, true, "a"), holder(2, false, "b"), holder(3, false, "c")}, map[int64]int64{}},
		"one that runs":              {[]store.Holder{holder(1, true, "a"), holder(2, false, "a/b")}, map[int64]int64{2: 1}},
		"one that came first":        {[]store.Holder{holder(2, false, "a"), holder(3, false, "a")}, map[int64]int64{3: 2}},
		"all folders or none":        {[]store.Holder{holder(1, true, "a"), holder(2, false, "b", "a"), holder(3, false, "b")}, map[int64]int64{2: 1, 3: 2}},
		"crosswise":                  {[]store.Holder{holder(2, false, "a", "b"), holder(3, false, "b", "a")}, map[int64]int64{3: 2}},
		"one of another instance":    {[]store.Holder{foreign, holder(2, false, "f")}, map[int64]int64{2: store.ForeignHolder}},
		"the whole after small ones": {[]store.Holder{holder(1, true, "a"), holder(2, false, ""), holder(3, false, "b")}, map[int64]int64{2: 1, 3: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, policy.Admit(c.holders)); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

// What an occurrence whose folders somebody works on becomes.
func TestDueWithBusyFolders(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	other := []store.Holder{{ExecutionID: 5, JobID: 2, InstanceID: 1, Running: true, Folders: folders("x")}}
	foreign := []store.Holder{{ExecutionID: 5, JobID: 2, InstanceID: 7, Running: true, Folders: folders("x")}}
	for name, c := range map[string]struct {
		overlap  job.OverlapPolicy
		holders  []store.Holder
		blocking int64
		waiting  int
		want     string
		by       int64
		cancels  bool
	}{
		"free":                      {holders: []store.Holder{{ExecutionID: 5, InstanceID: 1, Folders: folders("y")}}, want: "starts"},
		"SKIP":                      {holders: other, want: job.SkipRemoteBusy, by: 5},
		"SKIP, its own first":       {holders: other, blocking: 4, want: job.SkipOverlap, by: 4},
		"SKIP, a foreign one":       {holders: foreign, want: job.SkipRemoteBusy},
		"BUFFER_ONE":                {overlap: job.OverlapBufferOne, holders: other, want: "waits"},
		"BUFFER_ONE, one waits":     {overlap: job.OverlapBufferOne, holders: other, waiting: 1, want: job.SkipOverlap, by: 5},
		"BUFFER_ALL":                {overlap: job.OverlapBufferAll, holders: other, waiting: 5, want: "waits"},
		"BUFFER_ALL, full":          {overlap: job.OverlapBufferAll, holders: other, waiting: job.MaxBuffered, want: job.SkipQuota, by: 5},
		"CANCEL_OTHER":              {overlap: job.OverlapCancelOther, holders: other, want: "waits"},
		"CANCEL_OTHER, its own too": {overlap: job.OverlapCancelOther, holders: other, blocking: 4, want: "waits", cancels: true},
		"ALLOW":                     {overlap: job.OverlapAllow, holders: other, want: "waits"},
		"ALLOW, full":               {overlap: job.OverlapAllow, holders: other, waiting: job.MaxBuffered, want: job.SkipQuota, by: 5},
		"ALLOW, free":               {overlap: job.OverlapAllow, blocking: 4, want: "starts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := policy.Due(store.Due{
				JobID: 1, InstanceID: 1, Active: true, NextRun: now, Folders: folders("x/y"), Holders: c.holders, Blocking: c.blocking, Waiting: c.waiting,
				Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"}, Policies: job.Policies{Overlap: c.overlap},
			}, now)
			got, by := "", int64(0)
			switch {
			case len(d.Starts) == 1 && d.Starts[0].Waits:
				got = "waits"
			case len(d.Starts) == 1:
				got = "starts"
			case len(d.Skips) == 1:
				got, by = d.Skips[0].Reason, d.Skips[0].BlockedBy
			}
			if got != c.want || by != c.by || d.CancelRunning != c.cancels {
				t.Errorf("it %s for %d, cancels %t; want %s for %d, %t", got, by, d.CancelRunning, c.want, c.by, c.cancels)
			}
		})
	}
}

// Under ALLOW the missed slots of a job that writes go one after the other.
func TestCatchUpOfOneWriter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		folders []job.Folder
		want    []bool
	}{
		"writes": {folders("x"), []bool{false, true, true}},
		"reads":  {[]job.Folder{{ResourceID: 1, Remote: "a"}}, []bool{false, false, false}},
		"none":   {nil, []bool{false, false, false}},
	} {
		d := policy.Due(store.Due{
			JobID: 1, InstanceID: 1, Active: true, NextRun: now.Add(-150 * time.Minute), Folders: c.folders,
			Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"}, Policies: job.Policies{Overlap: job.OverlapAllow, CatchUp: job.CatchUpAll},
		}, now)
		var waits []bool
		for _, start := range d.Starts {
			waits = append(waits, start.Waits)
		}
		if diff := cmp.Diff(c.want, waits); diff != "" {
			t.Errorf("%s: waits (-want +got):\n%s", name, diff)
		}
	}
}
