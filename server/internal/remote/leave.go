package remote

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Both are variables for the race detector, under which everything takes longer.
var (
	// farewell is how long a session that has ended may still reach its remotes,
	// to give up what it had begun there: a pending upload, half of a file.
	farewell = 1500 * time.Millisecond
	// patience is how long the library is waited for after the end. What takes
	// longer goes on without anybody, and can reach nothing any more: the S3
	// library, for one, tries for a minute to give an upload up.
	patience = 1700 * time.Millisecond
)

// endedMeanwhile is told of a file whose outcome the end of the sync hides.
const endedMeanwhile = "The sync was ended while it was being changed."

// attend waits for work to be done, but not for long after the session has
// ended: then it answers false, and nobody is told anything any more.
func (e *engine) attend(work func()) bool {
	done := make(chan struct{})
	var broke any
	e.running.Go(func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				broke = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		work()
	})
	select {
	case <-done:
	case <-e.Session.ctx.Done():
		select {
		case <-done:
		case <-time.After(patience):
			e.abandon()
			return false
		}
	}
	if broke != nil {
		panic(broke) //nolint:forbidigo // as if work had been called right here
	}
	return true
}

// abandon says a last word about the files that are being changed.
func (e *engine) abandon() {
	e.telling.Lock()
	defer e.telling.Unlock()
	e.abandoned = true
	e.left.Store(true)
	e.mu.Lock()
	busy := e.busy
	e.busy = nil
	e.mu.Unlock()
	e.log.WarnContext(e.Session.ctx, "a remote does not let go; it is not waited for", "files", len(busy))
	for _, r := range busy {
		r.Remote, r.State, r.Reason, r.Message = e.Dest.String(), job.FileUnknown, job.ReasonCancelled, endedMeanwhile
		if e.OnFile != nil {
			e.OnFile(e.Session.ctx, r)
		}
	}
}

// say tells something, unless nobody listens any more.
func (e *engine) say(something func()) {
	e.telling.RLock()
	defer e.telling.RUnlock()
	if !e.abandoned {
		something()
	}
}

// changing notes that a file is being changed, until the function that it
// returns is called.
func (e *engine) changing(r job.FileRecord) (changed func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy == nil {
		e.busy = map[string]job.FileRecord{}
	}
	e.busy[r.Path] = r
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.busy, r.Path)
	}
}
