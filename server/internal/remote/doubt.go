package remote

import "github.com/pointscene/carillon/server/internal/job"

// A process that dies between a change and its record leaves a record that says
// UNKNOWN. The attempt that follows compares everything anyway: what it finds
// done gets a record that says so, without a further request.

// doubt takes the files whose outcome is not known.
func (e *engine) doubt(files []job.FileRecord) {
	if len(files) == 0 || e.DryRun || e.OnFile == nil {
		return
	}
	e.doubtful = make(map[string]job.FileRecord, len(files))
	for _, f := range files {
		e.doubtful[f.Path] = f
	}
}

// settle tells of a file that both sides have, equal, if that was in doubt.
func (e *engine) settle(path string) {
	e.mu.Lock()
	f, ok := e.doubtful[path]
	ok = ok && f.Action != job.FileDelete
	if ok {
		delete(e.doubtful, path)
	}
	e.mu.Unlock()
	if ok {
		e.tellFound(f)
	}
}

// stillThere notes that a file is not done: something will be done with it, and
// told of then.
func (e *engine) stillThere(path string) {
	e.mu.Lock()
	delete(e.doubtful, path)
	e.mu.Unlock()
}

// settleGone tells of the deletions in doubt, after a sync that has seen both
// sides whole and not found the files any more. A copy deletes nothing.
func (e *engine) settleGone() {
	e.mu.Lock()
	left := e.doubtful
	e.doubtful = nil
	e.mu.Unlock()
	for _, f := range left {
		if f.Action == job.FileDelete && e.Mode != Copy {
			e.tellFound(f)
		}
	}
}

// tellFound records a change of an earlier attempt. It counts as nothing here:
// equal files are counted already.
func (e *engine) tellFound(f job.FileRecord) {
	found := job.FileRecord{Remote: f.Remote, Action: f.Action, State: job.FileDone, Path: f.Path, Size: f.Size,
		Reason: ReasonFoundDone, Message: "The attempt before was lost before it could tell; this one has found it done."}
	e.say(func() { e.OnFile(e.ctx, found) })
}
