package executionlog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/pointscene/carillon/server/internal/mask"
)

// Writer writes the log of one attempt. It is safe for concurrent use and must
// be closed.
type Writer struct {
	store   *Store
	ref     Ref
	attempt int

	// saving is held while an object is written or deleted, so that segments
	// are stored in order. It is taken before mu.
	saving sync.Mutex
	// retryAt is until when a store that has failed is left alone; saving
	// guards it.
	retryAt time.Time

	mu sync.Mutex
	// masks replaces the secrets of this execution.
	masks mask.Mask
	// lines holds those from number first on; stored of its bytes are stored.
	// They are only appended to, so readers may keep what they were given.
	lines  []byte
	first  int64
	stored int
	// begin is how many bytes came before them.
	begin int64
	// headBytes counts full segments that stay, tail lists those that go when
	// newer ones come.
	headBytes, tailBytes int64
	tail                 []segment
	// timer is set while a flush is due.
	timer *time.Timer
	// changed is closed at the next line or at Close; nil when nobody waits.
	changed chan struct{}
	failure error
	closed  bool
	// budget bounds what is kept, nil for no bound; told is set when it has
	// been said that the rest is left out.
	budget *Budget
	told   bool
}

// Writer opens the log of an attempt, counted from 1. It takes no memory and
// does no I/O worth mentioning until the first line.
func (s *Store) Writer(ref Ref, attempt int) *Writer {
	w := &Writer{store: s, ref: ref, attempt: attempt}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[ref.ExecutionID] = w
	return w
}

// Handler takes records for this log. What is logged after Close is dropped.
func (w *Writer) Handler() slog.Handler { return &lazyHandler{writer: w} }

// Task is a logger whose lines name a task.
func (w *Writer) Task(name string) *slog.Logger {
	return slog.New(&lazyHandler{writer: w, task: name})
}

// Mask keeps secrets out of the log from now on: they are replaced, as package
// mask does it, before a line is kept.
func (w *Writer) Mask(secrets ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.masks = w.masks.With(secrets...)
}

// Masked returns text with the secrets replaced. It is for texts that leave by
// another way than the log, such as the execution's error.
func (w *Writer) Masked(text string) string { return w.currentMask().Text(text) }

func (w *Writer) currentMask() mask.Mask {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.masks
}

// Bytes is the size of the stored log of this attempt so far; 0 means that
// there is no object.
func (w *Writer) Bytes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.headBytes + w.tailBytes + int64(w.stored)
}

// Close stores what is left. It must return before the end of the attempt is
// recorded, so that readers who see the end find every line. The error is the
// first failure of the store since the beginning, after which lines may be
// missing; there is nothing to do again.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closed = true
	silent := w.first == 0 && len(w.lines) == 0
	w.mu.Unlock()
	if !silent {
		w.flush(true)
	}
	w.store.unregister(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
	return w.failure
}

// Write takes one encoded line from the handler.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return len(line), nil
	}
	size := len(line)
	if line = w.withinBudget(line); line == nil {
		w.mu.Unlock()
		return size, nil
	}
	w.lines = append(w.lines, w.encode(line)...)
	w.flushSoon()
	w.wake()
	full := len(w.lines) >= w.store.segmentBytes
	w.mu.Unlock()
	if full {
		w.flush(false)
	}
	return size, nil
}

// wake tells the readers in this process that there is news.
func (w *Writer) wake() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// flushSoon sees to it that a flush is due.
func (w *Writer) flushSoon() {
	if w.timer == nil && !w.closed {
		w.timer = time.AfterFunc(flushEvery, func() { w.flush(true) })
	}
}

// flush stores the lines and begins the next segment when this one is full. A
// store that has just failed is not asked again unless it must be, so that a
// task that logs much does not wait at every segment.
func (w *Writer) flush(must bool) {
	w.saving.Lock()
	defer w.saving.Unlock()
	w.mu.Lock()
	lines, begin, stored := w.lines, w.segment(), w.stored
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	w.mu.Unlock()
	if len(lines) == stored {
		return
	}
	if must || !time.Now().Before(w.retryAt) {
		if err := w.put(begin, lines); err == nil {
			stored = len(lines)
			w.retryAt = time.Time{}
		} else {
			w.retryAt = time.Now().Add(flushEvery)
			w.fail(err)
		}
	}
	if dropped := w.afterFlush(lines, stored); len(dropped) > 0 {
		w.remove(dropped)
	}
}

// segment is the one that is being written; mu is held.
func (w *Writer) segment() segment {
	return segment{position: position{w.attempt, w.first}, begin: w.begin}
}

// put writes one object.
func (w *Writer) put(begin segment, lines []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), putTimeout)
	defer cancel()
	err := w.store.bucket.WriteAll(ctx, w.ref.key(begin), lines, &blob.WriterOptions{ContentType: "application/x-ndjson"})
	if err != nil {
		return fmt.Errorf("store log %s from line %d: %w", w.ref.Path(), begin.line, err)
	}
	return nil
}

// afterFlush notes that stored bytes of lines are in the store, and returns
// the segments that the log's limit leaves no room for.
func (w *Writer) afterFlush(lines []byte, stored int) (dropped []segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stored = stored
	if len(lines) < w.store.segmentBytes {
		if stored < len(lines) {
			w.flushSoon()
		}
		return nil
	}
	ended := w.segment()
	ended.size = int64(stored)
	w.begin += int64(len(lines))
	w.lines = bytes.Clone(w.lines[len(lines):])
	w.first += int64(bytes.Count(lines, newline))
	w.stored = 0
	half := int64(w.store.options.Limit / 2)
	switch {
	case stored == 0: // lost, so there is nothing to keep or drop
	case w.headBytes < half:
		w.headBytes += ended.size
	default:
		w.tail = append(w.tail, ended)
		w.tailBytes += ended.size
	}
	for w.tailBytes > half {
		w.tailBytes -= w.tail[0].size
		dropped, w.tail = append(dropped, w.tail[0]), w.tail[1:]
	}
	return dropped
}

// remove deletes segments. One that stays behind makes the log longer than its
// limit and does no other harm.
func (w *Writer) remove(segments []segment) {
	ctx, cancel := context.WithTimeout(context.Background(), putTimeout)
	defer cancel()
	for _, s := range segments {
		if err := w.store.bucket.Delete(ctx, w.ref.key(s)); err != nil {
			w.fail(fmt.Errorf("shorten log %s: %w", w.ref.Path(), err))
		}
	}
}

func (w *Writer) fail(err error) {
	w.store.options.OnFailure(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil {
		w.failure = err
	}
}

// unsaved returns the lines that this process holds of a log, which may also
// be stored, and a channel that is closed when there is news. ok is false when
// no attempt of it runs here.
func (s *Store) unsaved(ref Ref) (lines segment, changed <-chan struct{}, ok bool) {
	s.mu.Lock()
	w := s.live[ref.ExecutionID]
	s.mu.Unlock()
	if w == nil {
		return segment{}, nil, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.ref != ref {
		return segment{}, nil, false
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	held := w.segment()
	held.size, held.lines = int64(len(w.lines)), w.lines
	return held, w.changed, true
}

func (s *Store) unregister(w *Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[w.ref.ExecutionID] == w { // and not the next attempt's
		delete(s.live, w.ref.ExecutionID)
	}
}
