// Package syncfiles holds the task types that move files between remotes:
// sync.files, its older spelling rclone.sync, and resource.input, which names
// a file filter for an rclone.sync after it.
//
// Rules:
//   - remotes are name:path, where name is a key of the resource's stored
//     configuration and nothing else: no connection string, no "..".
//   - Every further remote is made like the first, one after the other. One
//     that fails does not stop the others; the task then says which, and has
//     succeeded partially if anything was done.
//   - A guard stops one remote, not the others: the task then waits for
//     approval, and goes on with that remote alone.
//   - What a job remembers from one execution to the next is kept under the
//     task's name: the roots that it has synced, and the listings of a bisync.
//   - Each of them has a session of its own, so that credentials, log lines
//     and a refused connection of one never reach another.
//   - The log has one line per file that is not left as it is, progress now
//     and then, and a summary per remote.
package syncfiles

import (
	"bytes"
	"context"
	_ "embed" // the schemas
	"errors"
	"fmt"
	"log/slog"
	"path"
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

var (
	_ task.Type    = (*syncType)(nil)
	_ task.Worker  = (*syncType)(nil)
	_ task.Planner = (*syncType)(nil)
)

//go:embed sync.schema.json
var syncSchema []byte

// Name implements task.Type.
func (t *syncType) Name() string { return t.name }

// Schema implements task.Type.
func (t *syncType) Schema() []byte {
	return bytes.ReplaceAll(syncSchema, []byte(`"resourceId"`), []byte(`"`+t.id+`"`))
}

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

// Folders implements task.Worker: the source is read, but by a bisync, the
// others and their folders for backups are written, unless nothing is.
func (t *syncType) Folders(args task.Args) []task.Folder {
	o, err := read(args, t.id)
	if err != nil {
		return nil
	}
	folders := make([]task.Folder, 0, len(o.places))
	for i, p := range o.places {
		if p.name != remote.Work { // which no other execution sees
			writes := (i > 0 || o.mode == remote.Bisync) && !o.dryRun
			folders = append(folders, task.Folder{ResourceID: o.resource, Remote: p.name, Path: p.path, Writes: writes})
		}
		if i > 0 && o.backupDir != "" {
			folders = append(folders, task.Folder{ResourceID: o.resource, Remote: p.name, Path: o.backupDir, Writes: !o.dryRun})
		}
	}
	return folders
}

// Do implements task.Type. Its output holds the counts per remote, also when
// it fails.
func (t *syncType) Do(ctx context.Context, run task.Run) (task.Output, error) {
	o, err := t.read(run)
	if err != nil {
		return nil, err
	}
	p, err := begin(ctx, run, o)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(o.places); i++ {
		if p.goesOn && p.stopped.Digests[i] == "" {
			continue // it ended before the others were stopped
		}
		outcome, err := t.one(ctx, run, p, i)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.end(i, outcome, err)
		if err != nil {
			run.Log.ErrorContext(ctx, "sync failed", "to", o.places[i].String(),
				"reason", job.FailureOf(err).Reason, "error", job.FailureOf(err).Message)
		}
	}
	if err := p.remember(ctx); err != nil {
		return p.output(), err
	}
	return p.output(), p.verdict()
}

func (t *syncType) read(run task.Run) (*options, error) {
	o, err := read(run.Args, t.id)
	if err == nil && t.takesFilter {
		o.takeFilters(run.Inputs)
	}
	return o, err
}

// one makes one further remote like the first.
func (t *syncType) one(ctx context.Context, run task.Run, p *progress, i int) (remote.Outcome, error) {
	o := p.o
	log := run.Log
	if len(o.places) > 2 {
		log = log.With("to", o.places[i].String())
	}
	began := time.Now()
	session := t.session(ctx, run, o, i, log)
	defer session.Close()
	request, err := o.request(ctx, session, run, i)
	if err != nil {
		return remote.Outcome{}, err
	}
	request.Roots, request.Approved = p.roots, p.stopped.Digests[i]
	listing := ""
	if o.mode == remote.Bisync {
		listing = listingKey(run.TaskName, request)
		if request.Listing, err = run.Memory.Recall(ctx, listing); err != nil {
			return remote.Outcome{}, fmt.Errorf("recall the listing of the last bisync: %w", err)
		}
	}
	if request.Doubtful, err = run.Files.Doubtful(ctx, o.places[i].String()); err != nil {
		return remote.Outcome{}, fmt.Errorf("read which outcomes were lost: %w", err)
	}
	request.Announce = run.Files.Announce
	request.OnFile = func(ctx context.Context, r job.FileRecord) {
		logFile(ctx, log, r)
		run.Files.Done(ctx, r)
	}
	request.OnProgress = p.progress(ctx, log, i)
	log.InfoContext(ctx, "sync starts", "from", o.places[0].String(), "to", o.places[i].String(), "mode", string(o.mode), "dryRun", o.dryRun)
	outcome, err := session.Sync(request)
	if cause := context.Cause(ctx); cause != nil {
		log.WarnContext(ctx, "sync stopped; no file is half-written", "cause", cause.Error())
	} else if outcome.Listing != nil {
		err = errors.Join(err, run.Memory.Remember(ctx, listing, outcome.Listing))
	}
	took := time.Since(began).Round(time.Millisecond).String()
	log.InfoContext(ctx, "sync ends", append(attributes(outcome.Result), "took", took, "complete", err == nil)...)
	return outcome, err
}

// session opens the session of one destination.
func (t *syncType) session(ctx context.Context, run task.Run, o *options, i int, log *slog.Logger) *remote.Session {
	return t.remotes.Begin(ctx, remote.SessionOptions{
		ID:  fmt.Sprintf("%d/%s/%d/%d", run.ExecutionID, run.TaskName, run.Fence, i),
		Log: log, Transfers: o.transfers, Bandwidth: o.bandwidth,
	})
}

// request opens the remotes of one destination.
func (o *options) request(ctx context.Context, session *remote.Session, run task.Run, i int) (r remote.Request, err error) {
	r = remote.Request{
		Mode: o.mode, Include: o.include, Exclude: o.exclude, MaxDelete: o.maxDelete, AllowEmptySource: o.allowEmptySource,
		DryRun: o.dryRun, Checksum: o.checksum,
	}
	if r.Source, err = open(ctx, session, run, o.resource, o.places[0]); err != nil {
		return r, err
	}
	if r.Dest, err = open(ctx, session, run, o.resource, o.places[i]); err != nil || o.backupDir == "" {
		return r, err
	}
	// Each execution has a folder of its own, so that none overwrites what
	// another has put aside.
	backup := place{name: o.places[i].name, path: path.Join(o.backupDir, job.KindExecution.Format(run.ExecutionID))}
	r.Backup, err = open(ctx, session, run, o.resource, backup)
	return r, err
}

// Plan implements task.Planner.
func (t *syncType) Plan(ctx context.Context, run task.Run) ([]job.Plan, task.Output, error) {
	o, err := t.read(run)
	if err != nil {
		return nil, nil, err
	}
	roots, err := recallRoots(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	var plans []job.Plan
	for i := 1; i < len(o.places); i++ {
		plan, err := t.plan(ctx, run, o, i, roots)
		plan.Task, plan.Remote, plan.Error = run.TaskName, o.places[i].String(), job.FailureOf(err)
		plans = append(plans, plan)
	}
	return plans, task.Output{}, nil
}

func (t *syncType) plan(ctx context.Context, run task.Run, o *options, i int, roots []remote.Root) (job.Plan, error) {
	session := t.session(ctx, run, o, i, run.Log)
	defer session.Close()
	request, err := o.request(ctx, session, run, i)
	if err != nil {
		return job.Plan{}, err
	}
	request.Roots = roots
	if o.mode == remote.Bisync {
		if request.Listing, err = run.Memory.Recall(ctx, listingKey(run.TaskName, request)); err != nil {
			return job.Plan{}, err
		}
	}
	return session.Plan(request)
}

// listingKey is where the listing of a bisync is kept: two other roots have
// another one, so that nothing is deleted because of it.
func listingKey(taskName string, r remote.Request) string {
	return taskName + "/bisync/" + r.Source.Root().Base + "/" + r.Dest.Root().Base
}

// open opens the work directory, or a remote with the credentials that are
// stored now.
func open(ctx context.Context, s *remote.Session, run task.Run, resource string, p place) (*remote.Remote, error) {
	if p.name == remote.Work {
		return s.OpenWork(run.Work, p.path)
	}
	config, err := run.Configs.Remote(ctx, resource, p.name)
	if err != nil {
		if _, ok := errors.AsType[*job.Failure](err); ok {
			return nil, err
		}
		return nil, fmt.Errorf("read the configuration of remote %q: %w", p.name, err)
	}
	return s.Open(config, p.path)
}
