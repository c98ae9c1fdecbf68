package remote

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/filter"
	"github.com/rclone/rclone/fs/hash"

	"github.com/pointscene/carillon/server/internal/job"
)

// Mode says what a sync does with files that only one side has.
type Mode string

// The modes of a sync.
const (
	// Mirror deletes what only the destination has.
	Mirror Mode = "mirror"
	// Copy leaves it.
	Copy Mode = "copy"
	// Bisync carries the changes of each side, since the last time, to the
	// other.
	Bisync Mode = "bisync"
)

const (
	// tries is how often a listing or a file is tried, above what the library
	// does within one try.
	tries = 3
	// DefaultPause is how long the next try of what failed waits.
	DefaultPause = 2 * time.Second
	// DefaultProgress is how often OnProgress is called.
	DefaultProgress = time.Second
)

// Request says what to make alike.
type Request struct {
	// Source and Dest were opened by this session. For a bisync they are equals
	// but where both have changed: there Source keeps the name.
	Source, Dest *Remote
	Mode         Mode
	// Include and Exclude are rclone's filter patterns; see CheckFilter.
	Include, Exclude []string
	// MaxDelete limits a mirror, and each side of a bisync.
	MaxDelete DeleteLimit
	// AllowEmptySource lets a mirror of a folder without files begin.
	AllowEmptySource bool
	// DryRun changes nothing and counts what would be done.
	DryRun bool
	// Checksum compares contents where both sides know a common hash, instead
	// of times.
	Checksum bool
	// Backup, when not nil, is a folder of the destination's account that gets
	// what would be overwritten or deleted there. Mirror and copy only.
	Backup *Remote
	// Roots are the destinations that were synced before; see [Root].
	Roots []Root
	// Approved, when not empty, is the digest of the plan that somebody has
	// approved: that plan passes the guards, another one is PLAN_CHANGED.
	Approved string
	// Listing is the [Outcome.Listing] of the last bisync of these two, nil for
	// the first.
	Listing []byte
	// Doubtful are files of which an earlier attempt could not tell what became
	// of them. Those that are found done are told of by OnFile.
	Doubtful []job.FileRecord
	// Announce is told of files before they are changed; unless it answers nil
	// the sync ends. Nil announces nothing.
	Announce func(context.Context, []job.FileRecord) error
	// OnFile is told of every file that is not left as it is, several at a time.
	OnFile func(context.Context, job.FileRecord)
	// OnProgress is told the counts now and then, and at the end.
	OnProgress func(Result)
	// Pause and Progress replace the defaults.
	Pause, Progress time.Duration
	// held replaces maxHeld in tests.
	held int
}

// Result counts what a sync did, or would do.
type Result = job.Counters

// Outcome is what is known after a sync, also one that failed.
type Outcome struct {
	Result
	FileErrors []job.FileErrors
	// Root is the destination's when it was synced, else zero.
	Root Root
	// Listing is for the next bisync, nil when nothing is to be remembered.
	Listing []byte
}

// GuardError says that a guard has stopped a sync before it changed anything,
// and that the plan may be approved.
type GuardError struct {
	Failure *job.Failure
	Plan    job.Plan
}

func (e *GuardError) Error() string { return e.Failure.Message }
func (e *GuardError) Unwrap() error { return e.Failure }

// Sync makes the destination like the source, or both alike. What may delete
// changes nothing before its whole plan is known and within the limits. Files
// that fail do not stop the others, but then nothing is deleted.
//
// The error is the cause of the context's end, a *GuardError or a
// *job.Failure; the outcome says what was done until then. Sync returns within
// two seconds of the context's end.
func (s *Session) Sync(r Request) (Outcome, error) {
	e, err := s.engine(r)
	if err != nil {
		return Outcome{}, err
	}
	var outcome Outcome
	if !e.attend(func() { outcome, err = e.run() }) {
		return Outcome{Result: e.counts()}, e.ended()
	}
	return outcome, err
}

func (e *engine) run() (Outcome, error) {
	stop := e.report()
	var err error
	switch e.Mode {
	case Copy:
		err = e.copy()
	case Bisync:
		err = e.bisync()
	default:
		err = e.mirror()
	}
	stop()
	if err = e.verdict(err); err == nil {
		e.settleGone()
	}
	return e.outcome(), err
}

// engine prepares one sync.
func (s *Session) engine(r Request) (*engine, error) {
	fi, err := newFilter(r.Include, r.Exclude)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	if overlap(r.Source, r.Dest) {
		return nil, failure(ReasonOverlap, "%s and %s overlap: one would be synced into itself", r.Source, r.Dest)
	}
	if r.Pause == 0 {
		r.Pause = DefaultPause
	}
	if r.Progress == 0 {
		r.Progress = DefaultProgress
	}
	if r.held == 0 {
		r.held = maxHeld
	}
	e := &engine{Session: s, Request: r, filter: fi, src: r.Source.fs, dst: r.Dest.fs}
	if e.src.Features().IsLocal && e.dst.Features().IsLocal {
		e.src, e.dst = quick{e.src}, quick{e.dst}
	}
	e.ctx = e.settings(s.ctx)
	e.doubt(r.Doubtful)
	if r.Backup != nil {
		if overlap(r.Dest, r.Backup) || overlap(r.Source, r.Backup) {
			return nil, failure(ReasonOverlap, "the backup folder %s overlaps what is synced", r.Backup)
		}
		e.backup = r.Backup.fs
	}
	return e, nil
}

// quick is a folder of this machine whose files are copied to another one. What
// was read and what was written is compared by a hash that both sides compute
// meanwhile: the library would take the first of all that it knows, MD5, which
// takes most of the time that a large file takes.
type quick struct{ fs.Fs }

// Hashes implements fs.Fs.
func (quick) Hashes() hash.Set { return hash.NewHashSet(hash.BLAKE3) }

// engine is one sync.
type engine struct {
	*Session
	Request
	ctx              context.Context
	filter           *filter.Filter
	src, dst, backup fs.Fs

	mu     sync.Mutex
	result Result
	// doubtful are the files of Request.Doubtful that were not found yet.
	doubtful map[string]job.FileRecord
	errors   fileErrors
	root     Root
	listing  []byte
	// busy are the files that are being changed, by path.
	busy map[string]job.FileRecord
	// aside are the files that were moved to the folder for backups.
	aside map[string]bool
	// single is held while a twin is made.
	single sync.Mutex

	// telling is held while somebody is told something.
	telling   sync.RWMutex
	abandoned bool
}

// settings returns the context that the library is called with.
func (e *engine) settings(ctx context.Context) context.Context {
	ctx, ci := fs.AddConfig(ctx)
	ci.CheckSum = e.Checksum
	common := e.src.Hashes().Overlap(e.dst.Hashes())
	if fs.GetModifyWindow(ctx, e.src, e.dst) == fs.ModTimeNotSupported {
		// Else files of equal size count as equal.
		ci.CheckSum = common.Count() > 0
		if common.Count() == 0 {
			e.log.WarnContext(ctx, "only sizes can be compared: a change that keeps a file's size goes unnoticed",
				"source", e.Source.String(), "destination", e.Dest.String())
		}
	} else if e.Checksum && common == hash.Set(hash.None) {
		e.log.WarnContext(ctx, "the two remotes know no common hash: times and sizes are compared",
			"source", e.Source.String(), "destination", e.Dest.String())
		ci.CheckSum = false
	}
	return ctx
}

// copy compares and copies at the same time: it deletes nothing, so it needs
// no plan.
func (e *engine) copy() error {
	if e.DryRun {
		p, err := e.walk(walkHold)
		if err == nil {
			e.foretell(p)
		}
		return err
	}
	return e.stream(nil)
}

// mirror plans, and then does what the plan says.
func (e *engine) mirror() error {
	p, err := e.walk(walkHold)
	if err != nil {
		return err
	}
	if err := e.pass(p.summary(e.Dest.String()), e.guard(p)); err != nil {
		return err
	}
	if e.DryRun {
		e.foretell(p)
		return nil
	}
	e.root = p.root
	return e.apply(p)
}

// pass decides whether a plan may be carried out that a guard has looked at.
func (e *engine) pass(plan job.Plan, guard *job.Failure) error {
	switch {
	case e.Approved != "" && e.Approved != plan.Digest:
		return failure(job.ReasonPlanChanged,
			"the plan for %s is no longer the one that was approved; nothing was changed: run the job again", e.Dest)
	case guard == nil || e.Approved != "":
		return nil
	case e.DryRun || guard.Reason == ReasonSourceEmpty || guard.Reason == ReasonSideEmpty:
		return guard // there is nothing to approve
	}
	plan.Guard = guard
	return &GuardError{Failure: guard, Plan: plan}
}

// guard says why a mirror looks like an accident, nil when it does not.
func (e *engine) guard(p *plan) *job.Failure {
	n := p.deletions()
	switch {
	case p.found == 0 && !e.AllowEmptySource:
		return failure(ReasonSourceEmpty,
			"%s has no files to mirror, so everything at %s would be deleted; nothing was changed. If that is meant, set allowEmptySource", e.Source, e.Dest)
	case n > 0 && !known(e.Roots, p.root):
		return failure(ReasonRootChanged,
			"%s is another folder than the job has synced before, and the mirror would delete %d of its %d files; nothing was changed", e.Dest, n, p.files)
	case !e.MaxDelete.allows(n, p.files):
		return failure(ReasonMaxDelete,
			"the mirror would delete %d of %d files at %s, maxDelete allows %s; nothing was changed", n, p.files, e.Dest, e.MaxDelete)
	}
	return nil
}

// Plan tells what a sync would do, without changing anything and without
// keeping more than counts and samples. When the context ends before
// everything is compared, the plan is incomplete.
func (s *Session) Plan(r Request) (job.Plan, error) {
	r.DryRun = true
	e, err := s.engine(r)
	if err != nil {
		return job.Plan{}, err
	}
	if e.Mode == Bisync {
		return e.planBisync()
	}
	p, err := e.walk(walkCount)
	if ended := e.ended(); ended != nil {
		return p.incomplete(e.Dest.String(), ended)
	}
	if err != nil {
		return job.Plan{}, e.verdict(err)
	}
	plan := p.summary(e.Dest.String())
	if e.Mode == Mirror {
		plan.Guard = e.guard(p)
	}
	return plan, nil
}
