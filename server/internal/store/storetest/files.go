package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// record is a file of the first attempt.
func record(action job.FileAction, state job.FileState, path string) job.FileRecord {
	return job.FileRecord{Attempt: 1, Task: "copy", Remote: "b:/dst", Action: action, State: state, Path: path, Size: 7, At: noon}
}

// filesOf reads records page by page.
func filesOf(t *testing.T, s store.Store, q store.FileQuery) (paths []string) {
	t.Helper()
	for {
		page, more, err := s.Files(t.Context(), q)
		ok(t, err)
		if len(page) > q.Limit {
			t.Fatalf("a page of %d", len(page))
		}
		for _, r := range page {
			paths = append(paths, r.Path)
		}
		if more == 0 {
			return paths
		}
		q.After = more
	}
}

func staleFence(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrStale) {
		t.Errorf("got error %v, want ErrStale", err)
	}
}

var fileTests = tests{
	"records are listed in order, by filter and page": func(t *testing.T, s store.Store) {
		newJob(t, s)
		c := claimOne(t, s, noon, 0)
		first := record(job.FileCopy, job.FileFailed, "ä/100%_a")
		first.Size, first.Reason, first.Message = -1, "FILE_GONE", "it is gone"
		ok(t, s.RecordFiles(t.Context(), c.ExecutionID, c.Fence, []job.FileRecord{
			first, record(job.FileUpdate, job.FileDone, "b"), record(job.FileDelete, job.FileDone, "ä/1"),
		}, nil))
		ok(t, s.RecordFiles(t.Context(), c.ExecutionID, c.Fence, []job.FileRecord{record(job.FileCopy, job.FileDone, "ä/2")}, nil))
		page, _, err := s.Files(t.Context(), store.FileQuery{ExecutionID: c.ExecutionID, Limit: 10})
		ok(t, err)
		got := page[0]
		got.ID = 0
		same(t, "the first", got, first)
		for _, test := range []struct {
			q    store.FileQuery
			want []string
		}{
			{store.FileQuery{Limit: 2}, []string{"ä/100%_a", "b", "ä/1", "ä/2"}},
			{store.FileQuery{Limit: 4}, []string{"ä/100%_a", "b", "ä/1", "ä/2"}},
			{store.FileQuery{Limit: 1, Action: job.FileCopy}, []string{"ä/100%_a", "ä/2"}},
			{store.FileQuery{Limit: 9, State: job.FileFailed}, []string{"ä/100%_a"}},
			{store.FileQuery{Limit: 9, Prefix: "ä/1"}, []string{"ä/100%_a", "ä/1"}},
			{store.FileQuery{Limit: 9, Prefix: "%"}, nil},
			{store.FileQuery{Limit: 9, Prefix: "Ä"}, nil},
			{store.FileQuery{Limit: 9, Action: job.FileDelete, Prefix: "ä", State: job.FileDone}, []string{"ä/1"}},
		} {
			test.q.ExecutionID = c.ExecutionID
			same(t, fmt.Sprintf("%+v", test.q), filesOf(t, s, test.q), test.want)
		}
		same(t, "another execution's", filesOf(t, s, store.FileQuery{ExecutionID: c.ExecutionID + 1, Limit: 9}), []string(nil))
	},
	"a stale fence writes nothing": func(t *testing.T, s store.Store) {
		newJob(t, s)
		c := claimOne(t, s, noon, 0)
		files := []job.FileRecord{record(job.FileCopy, job.FileDone, "a")}
		_, err := s.AnnounceFiles(t.Context(), c.ExecutionID, c.Fence+1, files)
		staleFence(t, err)
		staleFence(t, s.RecordFiles(t.Context(), c.ExecutionID, c.Fence-1, files, nil))
		staleFence(t, s.Remember(t.Context(), c.JobID, c.ExecutionID, c.Fence+1, "k", []byte("v")))
		finish(t, s, c, job.StateSucceeded, noon, noon)
		staleFence(t, s.RecordFiles(t.Context(), c.ExecutionID, c.Fence, files, nil))
		same(t, "records", filesOf(t, s, store.FileQuery{ExecutionID: c.ExecutionID, Limit: 9}), []string(nil))
	},
	"what a dead replica had announced is told": func(t *testing.T, s store.Store) {
		newJob(t, s)
		c := claimOne(t, s, noon, 0)
		start(t, s, c, noon)
		a, b := record(job.FileCopy, "", "a"), record(job.FileDelete, "", "b")
		_ = must(s.AnnounceFiles(t.Context(), c.ExecutionID, c.Fence, []job.FileRecord{a, b}))(t)
		done := must(s.AnnounceFiles(t.Context(), c.ExecutionID, c.Fence, []job.FileRecord{record(job.FileCopy, "", "c")}))(t)
		ok(t, s.RecordFiles(t.Context(), c.ExecutionID, c.Fence, []job.FileRecord{record(job.FileCopy, job.FileDone, "a"), record(job.FileCopy, job.FileDone, "c")}, []int64{done}))
		r, _, err := s.Register(t.Context(), "survivor", time.Hour)
		ok(t, err)
		ok(t, s.Leave(t.Context(), owner))
		if lost := must(s.Bury(t.Context(), r.ID, 0))(t); len(lost) != 1 {
			t.Fatalf("%d lost", len(lost))
		}
		q := store.FileQuery{ExecutionID: c.ExecutionID, Limit: 9}
		same(t, "records", filesOf(t, s, q), []string{"a", "c", "b"})
		q.State = job.FileUnknown
		page, _, err := s.Files(t.Context(), q)
		ok(t, err)
		if len(page) != 1 || page[0].Path != "b" || page[0].Action != job.FileDelete || page[0].Reason != job.ReasonLost || page[0].Attempt != 1 {
			t.Errorf("unknown: %+v", page)
		}
		ok(t, s.Leave(t.Context(), r.ID))
		other, _, err := s.Register(t.Context(), "third", time.Hour)
		ok(t, err)
		_ = must(s.Bury(t.Context(), other.ID, 0))(t)
		same(t, "adopted twice", filesOf(t, s, store.FileQuery{ExecutionID: c.ExecutionID, Limit: 9}), []string{"a", "c", "b"})
	},
	"records go with their execution": func(t *testing.T, s store.Store) {
		newJob(t, s)
		c := claimOne(t, s, noon, 0)
		ok(t, s.RecordFiles(t.Context(), c.ExecutionID, c.Fence, []job.FileRecord{record(job.FileCopy, job.FileDone, "a")}, nil))
		finish(t, s, c, job.StateSucceeded, noon, noon)
		if gone := prune(t, s, noon.Add(time.Hour), 10); len(gone) != 1 {
			t.Fatalf("%d pruned", len(gone))
		}
		same(t, "records", filesOf(t, s, store.FileQuery{ExecutionID: c.ExecutionID, Limit: 9}), []string(nil))
	},
	"a job remembers until it is deleted": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		c := claimOne(t, s, noon, 0)
		same(t, "before", must(s.Recall(t.Context(), j.ID, "k"))(t), []byte(nil))
		for _, value := range []string{"one", "two\x00\xff"} {
			ok(t, s.Remember(t.Context(), j.ID, c.ExecutionID, c.Fence, "k", []byte(value)))
			same(t, "after", must(s.Recall(t.Context(), j.ID, "k"))(t), []byte(value))
		}
		same(t, "another key", must(s.Recall(t.Context(), j.ID, "K"))(t), []byte(nil))
		finish(t, s, c, job.StateSucceeded, noon, noon)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), func(job.Job) error { return nil }))
		same(t, "deleted", must(s.Recall(t.Context(), j.ID, "k"))(t), []byte(nil))
	},
}
