package executor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	// filesBatch is how many records of files are written at once, filesEvery
	// how long one waits for that.
	filesBatch = 500
	filesEvery = time.Second
	// filesHeld is how many may wait while the database is slow; then the task
	// waits.
	filesHeld = 10 * filesBatch
	// doubtfulHeld bounds how many records of lost outcomes are looked at.
	doubtfulHeld = 10_000
	// maxFileMessage bounds the text of one record, in bytes.
	maxFileMessage = 1000
)

// fileRecorder writes what becomes of one task's files.
type fileRecorder struct {
	e    *Executor
	a    *attempt
	task string

	mu sync.Mutex
	// unwritten is nil until the first use: most tasks have no files.
	*unwritten
}

// unwritten is what a fileRecorder has not written, and the loop that writes it.
type unwritten struct {
	pending []job.FileRecord
	// open are announced files without a record, by announcement; left counts
	// them, and settled are announcements that have none left.
	open    map[fileKey]int64
	left    map[int64]int
	settled []int64
	// room is closed and replaced when pending was written.
	room chan struct{}

	// wake starts a write early, stop ends the loop.
	wake chan struct{}
	stop chan struct{}
	loop sync.WaitGroup
}

type fileKey struct{ remote, path string }

var _ task.Files = (*fileRecorder)(nil)

// Doubtful implements task.Files.
func (r *fileRecorder) Doubtful(ctx context.Context, remote string) (files []job.FileRecord, err error) {
	if r.a.Attempt == 1 {
		return nil, nil
	}
	q := store.FileQuery{ExecutionID: r.a.ExecutionID, State: job.FileUnknown, Limit: filesBatch}
	for more := true; more && len(files) < doubtfulHeld; {
		records, next, err := r.e.o.Store.Files(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, f := range records {
			if f.Task == r.task && f.Remote == remote {
				files = append(files, f)
			}
		}
		q.After, more = next, next != 0
	}
	return files, nil
}

// Announce implements task.Files.
func (r *fileRecorder) Announce(ctx context.Context, files []job.FileRecord) error {
	now := r.e.o.Now()
	for i := range files {
		r.fill(&files[i], now)
	}
	var id int64
	err := r.write(ctx, func(ctx context.Context) (err error) {
		id, err = r.e.o.Store.AnnounceFiles(ctx, r.a.ExecutionID, r.a.Fence, files)
		return err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin()
	for _, f := range files {
		r.open[fileKey{f.Remote, f.Path}] = id
	}
	r.left[id] = len(files)
	return nil
}

// Done implements task.Files.
func (r *fileRecorder) Done(ctx context.Context, f job.FileRecord) {
	f.Message = r.a.log.Masked(f.Message) // before it is cut, maybe within a secret
	r.fill(&f, r.e.o.Now())
	r.mu.Lock()
	r.begin()
	r.pending = append(r.pending, f)
	key := fileKey{f.Remote, f.Path}
	if id, announced := r.open[key]; announced {
		delete(r.open, key)
		if r.left[id]--; r.left[id] == 0 {
			delete(r.left, id)
			r.settled = append(r.settled, id)
		}
	}
	for len(r.pending) >= filesHeld && ctx.Err() == nil {
		room := r.room
		r.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		r.mu.Lock()
	}
	early := len(r.pending) >= filesBatch
	r.mu.Unlock()
	if early {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// fill completes a record, and makes it one that the store takes.
func (r *fileRecorder) fill(f *job.FileRecord, now time.Time) {
	f.Attempt, f.Task, f.At = r.a.Attempt, r.task, job.Time(now)
	f.Path = strings.ReplaceAll(strings.ToValidUTF8(f.Path, "\uFFFD"), "\x00", "\uFFFD")
	f.Message = strings.ReplaceAll(strings.ToValidUTF8(f.Message, "\uFFFD"), "\x00", "\uFFFD")
	if len(f.Message) > maxFileMessage {
		f.Message = strings.ToValidUTF8(f.Message[:maxFileMessage], "") + "…"
	}
}

// begin starts the loop that writes; r.mu is held.
func (r *fileRecorder) begin() {
	if r.unwritten != nil {
		return
	}
	r.unwritten = &unwritten{
		open: map[fileKey]int64{}, left: map[int64]int{}, room: make(chan struct{}), wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	r.loop.Go(func() {
		tick := time.NewTicker(filesEvery)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
			case <-r.wake:
			}
			r.flush()
		}
	})
}

// close writes what is left. Announced files without a record were never begun.
func (r *fileRecorder) close() {
	r.mu.Lock()
	used := r.unwritten != nil
	r.mu.Unlock()
	if !used {
		return
	}
	close(r.stop)
	r.loop.Wait()
	r.mu.Lock()
	for id := range r.left {
		r.settled = append(r.settled, id)
	}
	r.mu.Unlock()
	r.flush()
}

// flush writes what is pending, however long the database is away.
func (r *fileRecorder) flush() {
	for {
		r.mu.Lock()
		n := min(len(r.pending), 2*filesBatch)
		batch, settled := r.pending[:n:n], r.settled
		if n < len(r.pending) {
			settled = nil // their records may be behind this batch
		}
		r.mu.Unlock()
		if n == 0 && len(settled) == 0 {
			return
		}
		err := r.write(r.e.ctx, func(ctx context.Context) error {
			return r.e.o.Store.RecordFiles(ctx, r.a.ExecutionID, r.a.Fence, batch, settled)
		})
		if err != nil {
			return
		}
		r.mu.Lock()
		r.pending = slices.Clone(r.pending[n:])
		r.settled = r.settled[len(settled):]
		close(r.room)
		r.room = make(chan struct{})
		r.mu.Unlock()
	}
}

// write tries a write until the database takes it, ctx ends, or the fence is
// stale: then the attempt is over.
func (r *fileRecorder) write(ctx context.Context, write func(context.Context) error) error {
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		err := write(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrStale):
			r.a.cancel(errFenced)
			return errFenced
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		r.e.o.Log.WarnContext(ctx, "can't write the record of files; trying again", "execution", r.a.ExecutionID, "error", err)
		pause(ctx, delay)
	}
}

// memory is task.Memory for one attempt.
type memory struct{ *runner }

// Recall implements task.Memory.
func (m memory) Recall(ctx context.Context, key string) ([]byte, error) {
	return m.e.o.Store.Recall(ctx, m.a.JobID, key)
}

// Remember implements task.Memory.
func (m memory) Remember(ctx context.Context, key string, value []byte) error {
	err := m.e.o.Store.Remember(ctx, m.a.JobID, m.a.ExecutionID, m.a.Fence, key, value)
	if errors.Is(err, store.ErrStale) {
		m.a.cancel(errFenced)
		return errFenced
	}
	return err
}
