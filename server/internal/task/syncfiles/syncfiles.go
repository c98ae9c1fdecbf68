// Package syncfiles holds the task types that move files between remotes:
// sync.files, its older spelling rclone.sync, and resource.input, which names
// a file filter for an rclone.sync after it.
//
// Rules:
//   - remotes are name:path, where name is a key of the resource's stored
//     configuration and nothing else: no connection string, no "..".
//   - Every further remote is made like the first, one after the other. One
//     that fails does not stop the others; the task then fails and says which.
//   - Each of them has a session of its own, so that credentials, log lines
//     and a refused connection of one never reach another.
//   - The log has one line per file that is not left as it is, progress now
//     and then, and a summary per remote.
package syncfiles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/task"
)

// ReasonRemotesFailed is the reason of a task whose remotes failed for
// different reasons.
const ReasonRemotesFailed = "REMOTES_FAILED"

// Types returns the task types of this package.
func Types(remotes *remote.Remotes) []task.Type {
	return []task.Type{
		&syncType{name: "sync.files", id: "resourceId", remotes: remotes},
		&syncType{name: "rclone.sync", id: "id", takesFilter: true, remotes: remotes},
		Input{},
	}
}

// syncType is a task type that syncs.
type syncType struct {
	name string
	// id is the name of the argument that holds the resource.
	id string
	// takesFilter is set when a resource.input may come before the task.
	takesFilter bool
	remotes     *remote.Remotes
}

var _ task.Type = (*syncType)(nil)

// Name implements task.Type.
func (t *syncType) Name() string { return t.name }

// Check implements task.Type.
func (t *syncType) Check(args task.Args) error {
	_, err := read(args, t.id)
	return err
}

// Resources implements task.Type.
func (t *syncType) Resources(args task.Args) []task.ResourceRef { return resources(args, t.id) }

func resources(args task.Args, name string) []task.ResourceRef {
	id, ok := task.IDText(args[name])
	if !ok || id == "" {
		return nil
	}
	return []task.ResourceRef{{Path: name, ID: id}}
}

// Do implements task.Type. Its output holds the counts per remote, also when
// it fails.
func (t *syncType) Do(ctx context.Context, run task.Run) (task.Output, error) {
	o, err := read(run.Args, t.id)
	if err != nil {
		return nil, err
	}
	if t.takesFilter {
		o.takeFilters(run.Inputs)
	}
	var done []any
	var failures []failed
	for i := 1; i < len(o.places); i++ {
		result, err := t.one(ctx, run, o, i)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		outcome := counts(o.places[i], result)
		if err != nil {
			failures = append(failures, failed{o.places[i], job.FailureOf(err)})
			outcome["error"] = job.FailureOf(err).Reason
			run.Log.ErrorContext(ctx, "sync failed", "to", o.places[i].String(),
				"reason", job.FailureOf(err).Reason, "error", job.FailureOf(err).Message)
		}
		done = append(done, outcome)
	}
	return task.Output{"remotes": done}, verdict(failures, len(o.places)-1)
}

// failed is a remote that could not be made like the first.
type failed struct {
	place   place
	failure *job.Failure
}

// verdict sums up what failed. The reason of a single one is the task's.
func verdict(failures []failed, all int) error {
	if len(failures) == 0 {
		return nil
	}
	if all == 1 {
		return failures[0].failure
	}
	sum := *failures[0].failure
	texts := make([]string, len(failures))
	for i, f := range failures {
		if f.failure.Reason != sum.Reason {
			sum.Code, sum.Reason = "UNKNOWN", ReasonRemotesFailed
		}
		texts[i] = f.place.String() + ": " + f.failure.Message
	}
	sum.Message = fmt.Sprintf("%d of %d remotes failed: %s", len(failures), all, strings.Join(texts, "; "))
	return &sum
}

// one makes one further remote like the first.
func (t *syncType) one(ctx context.Context, run task.Run, o *options, i int) (remote.Result, error) {
	from, to := o.places[0], o.places[i]
	log := run.Log
	if len(o.places) > 2 {
		log = log.With("to", to.String())
	}
	began := time.Now()
	session := t.remotes.Begin(ctx, remote.SessionOptions{
		ID:  fmt.Sprintf("%d/%s/%d/%d", run.ExecutionID, run.TaskName, run.Fence, i),
		Log: log, Transfers: o.transfers, Bandwidth: o.bandwidth,
	})
	defer session.Close()
	source, err := open(ctx, session, run.Configs, o.resource, from)
	if err != nil {
		return remote.Result{}, err
	}
	dest, err := open(ctx, session, run.Configs, o.resource, to)
	if err != nil {
		return remote.Result{}, err
	}
	log.InfoContext(ctx, "sync starts", "from", from.String(), "to", to.String(), "mode", string(o.mode), "dryRun", o.dryRun)
	result, err := session.Sync(remote.Request{
		Source: source, Dest: dest, Mode: o.mode,
		Include: o.include, Exclude: o.exclude, MaxDelete: o.maxDelete,
		DryRun: o.dryRun, Checksum: o.checksum,
		OnFile:     func(ev remote.FileEvent) { logFile(ctx, log, ev, o.dryRun) },
		OnProgress: func(r remote.Result) { log.InfoContext(ctx, "progress", attributes(r)...) },
	})
	if cause := context.Cause(ctx); cause != nil {
		log.WarnContext(ctx, "sync stopped", "cause", cause.Error())
	}
	took := time.Since(began).Round(time.Millisecond).String()
	log.InfoContext(ctx, "sync ends", append(attributes(result), "took", took, "complete", err == nil)...)
	return result, err
}

// open opens a remote with the credentials that are stored now.
func open(ctx context.Context, s *remote.Session, configs task.Configs, resource string, p place) (*remote.Remote, error) {
	config, err := configs.Remote(ctx, resource, p.name)
	if err != nil {
		if _, ok := errors.AsType[*job.Failure](err); ok {
			return nil, err
		}
		return nil, fmt.Errorf("read the configuration of remote %q: %w", p.name, err)
	}
	return s.Open(config, p.path)
}

// logFile writes the line of one file.
func logFile(ctx context.Context, log *slog.Logger, ev remote.FileEvent, dryRun bool) {
	message, level := string(ev.Action), slog.LevelInfo
	args := []any{"path", ev.Path}
	if ev.Size >= 0 {
		args = append(args, "size", ev.Size)
	}
	switch {
	case ev.Action == remote.Failed:
		level = slog.LevelError
	case ev.Action == remote.Skipped:
		level = slog.LevelWarn
	case dryRun:
		message = "would be " + message
	}
	if ev.Reason != "" {
		args = append(args, "reason", ev.Reason)
	}
	log.Log(ctx, level, message, args...)
}

func attributes(r remote.Result) []any {
	return []any{"found", r.Found, "copied", r.Copied, "updated", r.Updated, "deleted", r.Deleted,
		"skipped", r.Skipped, "failed", r.Failed, "bytes", r.Bytes}
}

func counts(p place, r remote.Result) map[string]any {
	return map[string]any{
		"remote": p.String(), "found": float64(r.Found), "copied": float64(r.Copied), "updated": float64(r.Updated),
		"deleted": float64(r.Deleted), "skipped": float64(r.Skipped), "failed": float64(r.Failed), "bytes": float64(r.Bytes),
	}
}
