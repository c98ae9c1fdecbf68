package syncfiles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/task"
)

// logEvery is how often the log says how far a sync is.
const logEvery = 30 * time.Second

// progress is what is known of a sync's destinations.
type progress struct {
	run task.Run
	o   *options
	// goesOn says that the task goes on after an approval, stopped how.
	goesOn  bool
	stopped stopped
	// roots are those that the job has synced before.
	roots []remote.Root

	mu      sync.Mutex
	reports []job.RemoteReport // by place; the source's is empty
	errors  []job.FileErrors
	plans   []job.Plan
	digests map[int]string
	synced  map[int]remote.Root
}

// stopped is what a task that waits for approval goes on with.
type stopped struct {
	// Digests are the approved plans, by the place of their destination.
	Digests map[int]string `json:"digests"`
	// Reports are those of all destinations when it was stopped.
	Reports    []job.RemoteReport `json:"reports"`
	FileErrors []job.FileErrors   `json:"fileErrors,omitempty"`
}

func begin(ctx context.Context, run task.Run, o *options) (*progress, error) {
	p := &progress{run: run, o: o, reports: make([]job.RemoteReport, len(o.places)), digests: map[int]string{}, synced: map[int]remote.Root{}}
	for i, place := range o.places {
		p.reports[i] = job.RemoteReport{Remote: place.String(), State: job.TaskPending}
	}
	if run.Approved != nil {
		if err := json.Unmarshal(run.Approved, &p.stopped); err != nil || len(p.stopped.Reports) != len(o.places) {
			return nil, errors.Join(errors.New("what the approval was for can't be read"), err)
		}
		p.goesOn, p.errors = true, p.stopped.FileErrors
		copy(p.reports, p.stopped.Reports)
	}
	var err error
	p.roots, err = recallRoots(ctx, run)
	return p, err
}

func rootsKey(taskName string) string { return taskName + "/roots" }

func recallRoots(ctx context.Context, run task.Run) (roots []remote.Root, err error) {
	stored, err := run.Memory.Recall(ctx, rootsKey(run.TaskName))
	if err != nil || stored == nil {
		return nil, err
	}
	err = json.Unmarshal(stored, &roots)
	return roots, err
}

// remember keeps the roots that were synced. Those of earlier executions stay
// as long as not all destinations were.
func (p *progress) remember(ctx context.Context) error {
	var roots []remote.Root
	if len(p.synced) < len(p.o.places)-1 {
		roots = slices.Clone(p.roots)
	}
	for i := range p.o.places {
		if root, ok := p.synced[i]; ok && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	if p.o.dryRun || len(p.synced) == 0 || slices.Equal(roots, p.roots) {
		return nil
	}
	value, err := json.Marshal(roots)
	if err != nil {
		return err
	}
	return p.run.Memory.Remember(ctx, rootsKey(p.run.TaskName), value)
}

// progress returns what is called with the counts of one destination.
func (p *progress) progress(ctx context.Context, log *slog.Logger, i int) func(remote.Result) {
	logged := time.Now()
	return func(r remote.Result) {
		if now := time.Now(); now.Sub(logged) >= logEvery {
			logged = now
			log.InfoContext(ctx, "progress", attributes(r)...)
		}
		p.set(func() { p.reports[i].State, p.reports[i].Counters = job.TaskRunning, r })
	}
}

// set changes the report and tells it.
func (p *progress) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	report := job.TaskReport{Remotes: slices.Clone(p.reports[1:]), FileErrors: slices.Clone(p.errors)}
	for _, r := range report.Remotes {
		report.Counters.Add(r.Counters)
	}
	p.run.Report(report)
}

// end takes what became of one destination.
func (p *progress) end(i int, outcome remote.Outcome, err error) {
	p.set(func() {
		r := &p.reports[i]
		r.State, r.Counters, r.Error = job.TaskSucceeded, outcome.Result, job.FailureOf(err)
		p.addErrors(outcome.FileErrors)
		if outcome.Root != (remote.Root{}) {
			p.synced[i] = outcome.Root
		}
		var guard *remote.GuardError
		switch {
		case errors.As(err, &guard):
			r.State = job.TaskAwaitingApproval
			guard.Plan.Task = p.run.TaskName
			p.plans = append(p.plans, guard.Plan)
			p.digests[i] = guard.Plan.Digest
		case err != nil && r.Error.Reason == remote.ReasonFilesFailed && didSomething(outcome.Result):
			r.State = job.TaskPartiallySucceeded
		case err != nil:
			r.State = job.TaskFailed
		}
	})
}

func didSomething(c job.Counters) bool {
	return c.Copied+c.Updated+c.Deleted+c.Conflicts+c.Skipped > 0
}

// addErrors adds up the summaries of several destinations.
func (p *progress) addErrors(more []job.FileErrors) {
	for _, sum := range more {
		at := slices.IndexFunc(p.errors, func(known job.FileErrors) bool { return known.Reason == sum.Reason })
		if at < 0 {
			p.errors = append(p.errors, sum)
			continue
		}
		p.errors[at].Count += sum.Count
	}
}

// verdict is the task's end: a stopped destination can still be approved,
// whatever became of the others.
func (p *progress) verdict() error {
	if len(p.plans) > 0 {
		state, err := json.Marshal(stopped{Digests: p.digests, Reports: p.reports, FileErrors: p.errors})
		if err != nil {
			return err
		}
		return &task.Approval{Plans: p.plans, State: state, Failure: p.plans[0].Guard}
	}
	var failed []job.RemoteReport
	done := false
	for _, r := range p.reports[1:] {
		if r.Error != nil {
			failed = append(failed, r)
		}
		done = done || r.State == job.TaskSucceeded || r.State == job.TaskPartiallySucceeded
	}
	failure := sum(failed, len(p.reports)-1)
	switch {
	case failure == nil:
		return nil
	case done:
		return &task.Partial{Failure: failure}
	}
	return failure
}

// sum sums up what failed. The reason of a single one is the task's.
func sum(failed []job.RemoteReport, all int) *job.Failure {
	if len(failed) == 0 {
		return nil
	}
	if all == 1 {
		return failed[0].Error
	}
	total := *failed[0].Error
	texts := make([]string, len(failed))
	for i, f := range failed {
		if f.Error.Reason != total.Reason {
			total.Code, total.Reason = "UNKNOWN", ReasonRemotesFailed
		}
		texts[i] = f.Remote + ": " + f.Error.Message
	}
	total.Message = fmt.Sprintf("%d of %d remotes failed: %s", len(failed), all, strings.Join(texts, "; "))
	return &total
}

// output is what the tasks after this one are given.
func (p *progress) output() task.Output {
	remotes := make([]any, 0, len(p.reports))
	for _, r := range p.reports[1:] {
		each := map[string]any{"remote": r.Remote}
		for name, n := range counts(r.Counters) {
			each[name] = float64(n)
		}
		if r.Error != nil {
			each["error"] = r.Error.Reason
		}
		remotes = append(remotes, each)
	}
	return task.Output{"remotes": remotes}
}

func counts(c job.Counters) map[string]int64 {
	return map[string]int64{
		"found": c.Found, "copied": c.Copied, "updated": c.Updated, "deleted": c.Deleted,
		"skipped": c.Skipped, "failed": c.Failed, "conflicts": c.Conflicts, "bytes": c.Bytes,
	}
}

func attributes(c job.Counters) []any {
	return []any{"found", c.Found, "copied", c.Copied, "updated", c.Updated, "deleted", c.Deleted,
		"skipped", c.Skipped, "failed", c.Failed, "bytes", c.Bytes}
}

// words are the log's for what became of a file.
var words = map[job.FileAction]string{
	job.FileCopy: "copied", job.FileUpdate: "updated", job.FileDelete: "deleted", job.FileConflict: "conflict",
}

// logFile writes the line of one file.
func logFile(ctx context.Context, log *slog.Logger, r job.FileRecord) {
	message, level := words[r.Action], slog.LevelInfo
	args := []any{"path", r.Path}
	if r.Size >= 0 {
		args = append(args, "size", r.Size)
	}
	switch r.State {
	case job.FileFailed:
		message, level = "failed", slog.LevelError
		args = append(args, "action", string(r.Action))
	case job.FileSkipped:
		message, level = "skipped", slog.LevelWarn
	case job.FilePlanned:
		message = "would be " + message
	case job.FileUnknown:
		message, level = "unfinished", slog.LevelWarn
		args = append(args, "action", string(r.Action))
	}
	if r.Reason != "" {
		args = append(args, "reason", r.Reason)
	}
	if r.Message != "" {
		args = append(args, "detail", r.Message)
	}
	log.Log(ctx, level, message, args...)
}
