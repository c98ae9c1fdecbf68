package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/rclone/rclone/fs"
	fileinfo "github.com/rclone/rclone/fs/object"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	// testLimit bounds a test; its last quarter is kept for deleting what the
	// test has written.
	testLimit = 20 * time.Second
	// testTries is how often the library tries a call of a test: somebody waits.
	testTries = 3
	// testFile begins the name of the file that a test writes.
	testFile = ".carillon-test-"
	testText = "Written to see whether it can be, by a test of these credentials. It may be deleted.\n"
)

// Reasons that something was not tried, or failed, with.
const (
	ReasonTestTimeout   = "TEST_TIMEOUT"
	ReasonFolderMissing = "FOLDER_MISSING"
	ReasonLeftBehind    = "LEFT_BEHIND"
	ReasonNotAsked      = "NOT_ASKED"
	ReasonNotConnected  = "NOT_CONNECTED"
	ReasonNotListed     = "FOLDER_NOT_LISTED"
	ReasonNotOffered    = "NOT_OFFERED"
)

// Test tells what a configuration can do at a folder, within testLimit. What
// the service refuses is in the answer; the error is our own.
func (r *Remotes) Test(ctx context.Context, cfg task.RemoteConfig, folder string, write bool) (job.RemoteTest, error) {
	return r.test(ctx, cfg, folder, write, testLimit)
}

func (r *Remotes) test(ctx context.Context, cfg task.RemoteConfig, folder string, write bool, limit time.Duration) (job.RemoteTest, error) {
	late := &job.Failure{Code: "DEADLINE_EXCEEDED", Reason: ReasonTestTimeout, Message: fmt.Sprintf("no answer within %s", limit)}
	// The session outlives the caller, to delete what was written.
	whole, end := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, late)
	defer end()
	s := r.Begin(whole, SessionOptions{ID: fmt.Sprintf("test/%d", r.tested.Add(1)), Log: slog.New(slog.DiscardHandler), Tries: testTries})
	defer s.Close()
	trying, stop := context.WithTimeoutCause(s.ctx, limit-limit/4, late)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	t := &trial{
		Session: s, ctx: trying,
		remote: &Remote{cfg: cfg, path: folder, service: cleanPath(folder) == "" && !kinds[cfg.Type].unlisted},
		out:    job.RemoteTest{Remote: cfg.Name + ":" + folder, Type: cfg.Type},
	}
	t.run(write)
	return t.out, t.fault
}

// trial is one test.
type trial struct {
	*Session
	// ctx ends before the session does.
	ctx    context.Context
	remote *Remote
	out    job.RemoteTest
	// fault is an error that says nothing of the remote.
	fault error
}

func (t *trial) run(write bool) {
	listed := t.connect()
	switch {
	case !write:
		t.skip(job.CheckWrite, ReasonNotAsked, "set write to write a small file and delete it")
	case !listed:
		t.skip(job.CheckWrite, ReasonNotListed, "a folder that can't be listed is not written to")
	case kinds[t.remote.cfg.Type].bucket && t.remote.service:
		t.skip(job.CheckWrite, ReasonNoBucket, "name a bucket to write to: name:/bucket/folder")
	default:
		t.write()
	}
	t.quota()
	if tokens := t.remote.tokens; tokens != nil && tokens.hasLost() {
		t.out.Warnings = append(t.out.Warnings,
			"the access token had expired, and the service gave a new refresh token for this test, which was not kept: the one in the request may be used up")
	}
}

// connect opens and lists the folder. The library does both at once, so what
// went wrong says how far it came.
func (t *trial) connect() (listed bool) {
	began := time.Now()
	_, err := t.open(t.remote)
	if err == nil {
		err = t.list()
	}
	switch {
	case err == nil:
		t.note(job.CheckConnect, began, nil)
		t.note(job.CheckList, began, nil)
	case t.answered(err):
		t.note(job.CheckConnect, began, nil)
		t.note(job.CheckList, began, t.failure("list", err))
	default:
		t.note(job.CheckConnect, began, t.failure("list", err))
		t.skip(job.CheckList, ReasonNotConnected, "there is no connection")
	}
	return err == nil
}

// errEnough ends a listing.
var errEnough = errors.New("one page is enough")

// list reads the first page of a folder, or all of it where there are no pages.
func (t *trial) list() error {
	if pages := t.remote.fs.Features().ListP; pages != nil {
		err := pages(t.ctx, "", func(fs.DirEntries) error { return errEnough })
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	}
	_, err := t.remote.fs.List(t.ctx, "")
	return err
}

// answered tells of errors of somebody who has taken the credentials.
func (t *trial) answered(err error) bool {
	if context.Cause(t.ctx) != nil {
		return false
	}
	if f, ok := errors.AsType[*job.Failure](err); ok {
		return f.Reason == ReasonIsFile || f.Reason == ReasonRemoteRefused
	}
	return isMissing(err) || errors.Is(err, fs.ErrorIsFile) || errors.Is(err, iofs.ErrPermission) ||
		refused(err) && !refusesCredentials(err)
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrorDirNotFound) || errors.Is(err, iofs.ErrNotExist)
}

// write writes a file and deletes it, also when the caller has gone meanwhile.
func (t *trial) write() {
	began := time.Now()
	name := testFile + strings.ToLower(rand.Text())
	info := fileinfo.NewStaticObjectInfo(name, began, int64(len(testText)), true, nil, nil)
	file, err := t.remote.fs.Put(t.ctx, strings.NewReader(testText), info)
	if err == nil {
		err = file.Remove(t.Session.ctx)
		if err == nil {
			t.note(job.CheckWrite, began, nil)
			return
		}
		t.note(job.CheckWrite, began, t.leftBehind(name, t.failure("delete the test's file from", err)))
		return
	}
	why := t.failure("write to", err)
	if !t.clean(name) {
		why = t.leftBehind(name, why)
	}
	t.note(job.CheckWrite, began, why)
}

// clean removes a file whose writing failed. It may be there all the same.
func (t *trial) clean(name string) bool {
	file, err := t.remote.fs.NewObject(t.Session.ctx, name)
	if err == nil {
		err = file.Remove(t.Session.ctx)
	}
	return err == nil || errors.Is(err, fs.ErrorObjectNotFound) || isMissing(err)
}

// leftBehind says that a file may have stayed.
func (t *trial) leftBehind(name string, why *job.Failure) *job.Failure {
	return &job.Failure{Code: why.Code, Reason: ReasonLeftBehind, Message: fmt.Sprintf("%s; the file %s may be left there", why.Message, name)}
}

// quota asks how much room there is. A service that does not tell is no worse
// for that.
func (t *trial) quota() {
	if t.out.Results[0].Outcome != job.CheckOK {
		t.skip(job.CheckQuota, ReasonNotConnected, "there is no connection")
		return
	}
	about := t.remote.fs.Features().About
	if about == nil {
		t.skip(job.CheckQuota, ReasonNotOffered, "remotes of type "+t.remote.cfg.Type+" do not tell")
		return
	}
	began := time.Now()
	usage, err := ask(t.ctx, about)
	switch {
	case err != nil:
		t.skip(job.CheckQuota, ReasonNotOffered, t.failure("ask for the quota of", err).Message)
	case usage == nil || usage.Total == nil && usage.Used == nil && usage.Free == nil:
		t.skip(job.CheckQuota, ReasonNotOffered, "the service does not tell")
	default:
		t.out.Quota = &job.RemoteQuota{Total: usage.Total, Used: usage.Used, Free: usage.Free}
		t.note(job.CheckQuota, began, nil)
	}
}

// ask calls the library, whose Drive panics at an answer without a quota.
func ask(ctx context.Context, about func(context.Context) (*fs.Usage, error)) (usage *fs.Usage, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the answer is not understood")
		}
	}()
	return about(ctx)
}

// failure is what a user may see of an error.
func (t *trial) failure(doing string, err error) *job.Failure {
	if isMissing(err) && context.Cause(t.ctx) == nil {
		return &job.Failure{Code: "NOT_FOUND", Reason: ReasonFolderMissing, Message: fmt.Sprintf("%s is not there", t.remote)}
	}
	if cause := context.Cause(t.ctx); cause != nil {
		err = cause
	} else {
		err = t.explain(t.remote, doing, err)
	}
	if f, ok := errors.AsType[*job.Failure](err); ok {
		return f
	}
	if !errors.Is(err, context.Canceled) {
		t.fault = fmt.Errorf("test remote %q of resource %d: %w", t.remote.cfg.Name, t.remote.cfg.ResourceID, err)
	}
	return &job.Failure{Code: "CANCELLED", Reason: ReasonNotConnected, Message: "the test was cut off"}
}

func (t *trial) note(check job.RemoteCheck, began time.Time, why *job.Failure) {
	r := job.CheckResult{Check: check, Outcome: job.CheckOK, Took: time.Since(began)}
	if why != nil {
		r.Outcome, r.Code, r.Reason, r.Message = job.CheckFailed, why.Code, why.Reason, why.Message
	}
	t.out.Results = append(t.out.Results, r)
}

func (t *trial) skip(check job.RemoteCheck, reason, message string) {
	t.out.Results = append(t.out.Results, job.CheckResult{Check: check, Outcome: job.CheckSkipped, Reason: reason, Message: message})
}
