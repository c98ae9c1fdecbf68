// Package executions holds what callers can do with what ran: the rules behind
// the ExecutionService, without gRPC.
//
// Rules:
//   - Every call checks the caller's access to the execution's instance, on
//     top of what the door has checked. An execution stays readable after its
//     job is gone.
//   - Each execution has a log, maybe an empty one. A signed link permits
//     reading that one log without a token until it ends.
//   - Logs are found by the numbers of the execution and its instance, never
//     by a path that a caller sent.
//   - Who watches executions is told by polling the store, and only while
//     somebody watches: what runs executions does nothing for it. A watch that
//     goes on with a cursor misses no end, whichever replica it goes on at.
package executions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Store is what this package needs of the database; package store has the
// contracts.
type Store interface {
	Execution(ctx context.Context, id int64) (job.Execution, error)
	ExecutionsOfJob(ctx context.Context, jobID int64, page store.Page) ([]job.Execution, error)
	ExecutionsOfInstance(ctx context.Context, instanceID int64, page store.Page) ([]job.Execution, error)
	LatestOfJobs(ctx context.Context, jobIDs []int64, limit int) (map[int64][]job.Execution, error)
	CancelExecution(ctx context.Context, id int64, now time.Time, why job.Failure) (job.Execution, error)
	InstanceOf(ctx context.Context, kind job.Kind, id int64) (int64, error)
	store.Watching
	store.Approvals
	Files(ctx context.Context, q store.FileQuery) (records []job.FileRecord, more int64, err error)
}

// Logs reads execution logs.
type Logs interface {
	Tail(ctx context.Context, ref executionlog.Ref, tail executionlog.Tail) iter.Seq2[executionlog.Line, error]
	Copy(ctx context.Context, out io.Writer, ref executionlog.Ref) error
}

// Links signs and verifies links to logs.
type Links interface {
	Sign(ctx context.Context, executionID int64, expires time.Time) (auth.Link, error)
	// Verify returns a *job.UnauthenticatedError for a bad link.
	Verify(ctx context.Context, link auth.Link) error
}

// Service is the use cases. Its methods return the errors of package job that
// callers can tell apart; the caller is the principal of the context.
type Service struct {
	store     Store
	auth      *auth.Authorizer
	logs      Logs
	links     Links
	publicURL string
	now       func() time.Time
	feed      *feed
}

// Options are what a Service works with.
type Options struct {
	Store      Store
	Authorizer *auth.Authorizer
	Logs       Logs
	Links      Links
	// PublicURL is how outsiders reach the HTTP door, without a final slash.
	PublicURL string
	Now       func() time.Time
	// Log gets what watching can't tell its readers; nil means nowhere.
	Log *slog.Logger
}

// New returns a Service.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		store: o.Store, auth: o.Authorizer, logs: o.Logs, links: o.Links, publicURL: o.PublicURL,
		now: func() time.Time { return job.Time(o.Now()) }, feed: newFeed(o.Store, pollEvery, o.Log),
	}
}

// Close ends every watch, so that those who watch go on elsewhere.
func (s *Service) Close() {
	s.feed.close(&job.UnavailableError{Message: "The server is stopping; go on with the last cursor.", Cause: errStopping})
}

var errStopping = errors.New("the server is stopping")

// WantsPlace tells whether an execution waits for nothing but a free place.
func (s *Service) WantsPlace(e job.Execution) bool { return job.WantsPlace(e.ReadyAt, s.now()) }

// Get answers one execution.
func (s *Service) Get(ctx context.Context, id int64) (job.Execution, error) {
	return s.load(ctx, id, auth.Read)
}

// OfJob answers the executions of a job, newest first.
func (s *Service) OfJob(ctx context.Context, jobID int64, page store.Page) ([]job.Execution, error) {
	instanceOf := func(ctx context.Context, id int64) (int64, error) { return s.store.InstanceOf(ctx, job.KindJob, id) }
	if _, err := auth.Load(ctx, s.auth, job.KindJob, jobID, auth.Read, instanceOf, func(instance int64) int64 { return instance }); err != nil {
		return nil, err
	}
	return s.store.ExecutionsOfJob(ctx, jobID, page)
}

// OfInstance answers the executions of an instance, newest first.
func (s *Service) OfInstance(ctx context.Context, instanceID int64, page store.Page) ([]job.Execution, error) {
	if err := s.mayRead(ctx, instanceID); err != nil {
		return nil, err
	}
	return s.store.ExecutionsOfInstance(ctx, instanceID, page)
}

// LatestOfJobs answers up to count of the newest executions of each job. Jobs
// of other instances have none.
func (s *Service) LatestOfJobs(ctx context.Context, instanceID int64, jobIDs []int64, count int) (map[int64][]job.Execution, error) {
	if err := s.mayRead(ctx, instanceID); err != nil {
		return nil, err
	}
	latest, err := s.store.LatestOfJobs(ctx, jobIDs, count)
	if err != nil {
		return nil, err
	}
	// A job never changes its instance, so that one execution tells it.
	maps.DeleteFunc(latest, func(_ int64, of []job.Execution) bool {
		return len(of) == 0 || of[0].InstanceID != instanceID
	})
	return latest, nil
}

// Cancel ends an execution: a waiting one at once, a running one as soon as
// its tasks let go.
func (s *Service) Cancel(ctx context.Context, id int64) (job.Execution, error) {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return job.Execution{}, err
	}
	caller, err := auth.Require(ctx)
	if err != nil {
		return job.Execution{}, err
	}
	why := job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled, Message: "cancelled by " + caller.Subject}
	e, err := s.store.CancelExecution(ctx, id, s.now(), why)
	return e, store.OrMissing(err, job.KindExecution, id)
}

// LogPath is where an execution's log lies in the log store.
func LogPath(e job.Execution) string { return refOf(e).Path() }

// SignedLogURL is a link to the execution's log that needs no token and ends
// after auth.LinkTTL.
func (s *Service) SignedLogURL(ctx context.Context, executionID int64) (string, error) {
	link, err := s.links.Sign(ctx, executionID, s.now().Add(auth.LinkTTL))
	if err != nil {
		return "", fmt.Errorf("sign a link to the log of execution %d: %w", executionID, err)
	}
	return s.publicURL + "/logs/" + job.KindExecution.Format(executionID) + "?" + link.Query().Encode(), nil
}

// Tail yields lines of a log; with follow until the execution has ended.
func (s *Service) Tail(ctx context.Context, id int64, tail executionlog.Tail, follow bool) (iter.Seq2[executionlog.Line, error], error) {
	e, err := s.load(ctx, id, auth.Read)
	if err != nil {
		return nil, err
	}
	if follow && tail.Before != "" {
		return nil, job.Invalid("before", "NOT_APPLICABLE", "names where to end, follow says not to end: leave one of them out")
	}
	if follow {
		tail.Ended = func(ctx context.Context) (bool, error) {
			e, err := s.store.Execution(ctx, id)
			if errors.Is(err, store.ErrNotFound) { // pruned meanwhile
				return true, nil
			}
			return e.State.Ended(), err
		}
	}
	return s.logs.Tail(ctx, refOf(e), tail), nil
}

// Download writes the log that a link permits to read, as JSON lines.
func (s *Service) Download(ctx context.Context, link auth.Link, out io.Writer) error {
	err := s.links.Verify(ctx, link)
	var bad *job.UnauthenticatedError
	if errors.As(err, &bad) {
		// There is no token to ask for: the link itself is what was refused.
		return &job.DeniedError{Message: bad.Message}
	}
	if err != nil {
		return err
	}
	e, err := s.store.Execution(ctx, link.ExecutionID)
	if errors.Is(err, store.ErrNotFound) {
		return job.KindExecution.Missing(link.ExecutionID)
	}
	if err != nil {
		return fmt.Errorf("read execution %d: %w", link.ExecutionID, err)
	}
	return s.logs.Copy(ctx, out, refOf(e))
}

// mayRead checks the caller's access to an instance.
func (s *Service) mayRead(ctx context.Context, instanceID int64) error {
	return s.auth.Instance(ctx, instanceID, true, auth.Read, job.KindInstance.Missing(instanceID))
}

// load reads an execution and checks the caller's access to it.
func (s *Service) load(ctx context.Context, id int64, access auth.Access) (job.Execution, error) {
	return auth.Load(ctx, s.auth, job.KindExecution, id, access, s.store.Execution, func(e job.Execution) int64 { return e.InstanceID })
}

func refOf(e job.Execution) executionlog.Ref {
	return executionlog.Ref{InstanceID: e.InstanceID, ExecutionID: e.ID}
}
