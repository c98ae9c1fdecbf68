package entstore

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// FuzzTaskText: the short way writes what json.Marshal writes.
func FuzzTaskText(f *testing.F) {
	f.Add("copy", "util.noop", "SUCCEEDED", int64(1_700_000_000_123_456), int64(1_700_000_000_123_450), 1, "")
	f.Add("", "\\", "\"<>&'", int64(0), int64(1), 0, "it failed: \u2028 \x00 \xff")
	f.Add("Übung\n", "~ \x7f", "a", int64(-1), int64(0), -20, "x")
	f.Fuzz(func(t *testing.T, name, kind, state string, started, finished int64, attempt int, failure string) {
		const years = 200 * 365 * 24 * int64(time.Hour/time.Microsecond)
		record := job.TaskRecord{
			Name: name, Type: kind, State: job.TaskState(state),
			StartedAt: timeOf(started % years), FinishedAt: timeOf(finished % years), Attempt: attempt, NextAttemptAt: timeOf(finished % years),
		}
		if failure != "" {
			record.Error = &job.Failure{Code: "UNKNOWN", Reason: "R", Message: failure}
			record.Report = &job.TaskReport{
				Counters: job.Counters{Found: started, Bytes: finished}, Remotes: []job.RemoteReport{{Remote: name, Error: record.Error}},
				FileErrors: []job.FileErrors{{Reason: kind, Samples: []string{failure}}},
			}
		}
		for _, tasks := range [][]job.TaskRecord{{record}, {record, {}, record}} {
			want, err := json.Marshal(tasks)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(appendTasks(nil, tasks)); got != string(want) {
				t.Errorf("wrote %s, want %s", got, want)
			}
		}
		column, want := newTasksColumn(1), [][]job.TaskRecord{{record}, nil, {record, record}, {{}}}
		got := make([]string, len(want))
		for i, tasks := range want {
			got[i] = column.text(tasks)
		}
		for i, tasks := range want {
			if got[i] != tasksText(tasks) {
				t.Errorf("the column says %s, want %s", got[i], tasksText(tasks))
			}
		}
	})
}
