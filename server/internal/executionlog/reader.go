package executionlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"
)

// Waiting for lines that another replica stores begins with pollMin and grows
// to pollMax while none come.
const (
	pollMin = 50 * time.Millisecond
	pollMax = time.Second
)

// Tail says what of a log to read.
type Tail struct {
	// Cursor of the last line that was read; empty begins at the first.
	Cursor string
	// Before is the cursor of a line to end before; empty for no such line.
	Before string
	// Last, unless 0, leaves out all but so many of the lines that there are.
	Last int
	// Filter chooses among the lines.
	Filter Filter
	// Ended tells whether the execution has ended, and so no line follows. It
	// is asked about once a second. Without it, Tail reads what is there.
	Ended func(context.Context) (bool, error)
}

// Tail yields the lines of a log, those of earlier attempts first, until there
// are no more. A wrong cursor is a *job.InvalidError. After an error nothing
// follows; reading resumes with the cursor of the last line. Lines of an
// attempt that runs in this process come as they are written, others within
// about two seconds.
func (s *Store) Tail(ctx context.Context, ref Ref, tail Tail) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		at, err := ref.parseCursor("cursor", tail.Cursor)
		var before position
		if err == nil {
			before, err = ref.parseCursor("before", tail.Before)
		}
		wanted := tail.Filter.matcher()
		if err == nil && tail.Last > 0 {
			at, err = s.lastFrom(ctx, ref, at, before, wanted, tail.Last)
		}
		if err != nil {
			yield(Line{}, err)
			return
		}
		r := &reader{store: s, ref: ref, at: at, bytes: -1}
		err = r.follow(ctx, tail.Ended, func(text []byte) bool {
			if before != (position{}) && r.at.compare(before) >= 0 {
				return false
			}
			if !wanted.matches(text) {
				return true
			}
			line := parseLine(text)
			line.Cursor = ref.cursor(r.at)
			return yield(line, nil)
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Line{}, err)
		}
	}
}

// Copy writes the log as it is so far: JSON lines.
func (s *Store) Copy(ctx context.Context, out io.Writer, ref Ref) error {
	var failure error
	r := &reader{store: s, ref: ref}
	err := r.follow(ctx, nil, func(text []byte) bool {
		_, failure = out.Write(text)
		return failure == nil
	})
	if failure != nil {
		return failure
	}
	return err
}

// errStopped ends a read whose caller wants no more.
var errStopped = errors.New("stopped")

// reader reads one log from a position on.
type reader struct {
	store *Store
	ref   Ref
	// at is the next line to emit.
	at position
	// open is the segment that was read last, to save reading its beginning
	// again when it has grown: line nextInOpen begins at byte offset.
	open       position
	offset     int64
	nextInOpen int64
	// bytes is how many bytes of the attempt come before the next line, -1 when
	// that is not known, as after a cursor.
	bytes int64
}

// follow emits lines until the log ends, or, without ended, as far as it is.
func (r *reader) follow(ctx context.Context, ended func(context.Context) (bool, error), emit func([]byte) bool) error {
	wait, here, askAt := pollMin, false, time.Time{}
	for {
		last := ended == nil
		// While the attempt runs here its writer says when there is more, so
		// the answer matters only if another replica has taken over.
		if ended != nil && (!here || !time.Now().Before(askAt)) {
			var err error
			if last, err = ended(ctx); err != nil {
				return err
			}
			askAt = time.Now().Add(pollMax)
		}
		var unsaved segment
		var changed <-chan struct{}
		unsaved, changed, here = r.store.unsaved(r.ref)
		before := r.at
		if err := r.read(ctx, unsaved, here, last, emit); err != nil || last {
			return err
		}
		switch {
		case here:
			wait = pollMax
		case r.at != before:
			wait = pollMin
		default:
			wait = min(2*wait, pollMax)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed: // blocks for ever when the attempt does not run here
		case <-time.After(wait):
		}
	}
}

// read emits the lines that exist. The unsaved ones were taken before the
// stored ones are listed, so what is in neither is lost. The store is left
// alone while memory has all that is new, except for the last time.
func (r *reader) read(ctx context.Context, unsaved segment, here, last bool, emit func([]byte) bool) error {
	segments := []segment{unsaved}
	if !here || last || r.at.compare(unsaved.position) < 0 {
		var err error
		if segments, err = r.store.segments(ctx, r.ref, unsaved, here); err != nil {
			return err
		}
	}
	for i, s := range segments {
		done := i+1 < len(segments) && segments[i+1].attempt == s.attempt && segments[i+1].line <= r.at.line
		if s.attempt < r.at.attempt || s.attempt == r.at.attempt && done {
			continue
		}
		if err := r.readSegment(ctx, s, emit); err != nil {
			return err
		}
	}
	return nil
}

// segments are all of a log in order, those in the store and the unsaved one.
func (s *Store) segments(ctx context.Context, ref Ref, unsaved segment, here bool) ([]segment, error) {
	segments, err := s.list(ctx, ref)
	if err != nil || !here {
		return segments, err
	}
	segments = slices.DeleteFunc(segments, func(s segment) bool {
		return s.attempt == unsaved.attempt && s.line >= unsaved.line
	})
	segments = append(segments, unsaved)
	slices.SortFunc(segments, func(a, b segment) int { return a.compare(b.position) })
	return segments, nil
}

// lastFrom is where the last lines begin: so many that match, after from and,
// unless it is zero, before another position. It reads from the end, and no
// further than it must.
func (s *Store) lastFrom(ctx context.Context, ref Ref, from, before position, wanted matcher, last int) (position, error) {
	unsaved, _, here := s.unsaved(ref)
	segments, err := s.segments(ctx, ref, unsaved, here)
	if err != nil {
		return from, err
	}
	for _, one := range slices.Backward(segments) {
		if before != (position{}) && one.compare(before) >= 0 {
			continue
		}
		lines, err := (&reader{store: s, ref: ref}).load(ctx, one)
		if err != nil {
			return from, err
		}
		var found []position
		at := one.position
		for text := range bytes.Lines(lines) {
			begin := at
			at.line++
			if text[len(text)-1] != '\n' || before != (position{}) && at.compare(before) >= 0 {
				break
			}
			if at.compare(from) > 0 && wanted.matches(text) {
				found = append(found, begin)
			}
		}
		if len(found) >= last {
			return found[len(found)-last], nil
		}
		last -= len(found)
		if one.compare(from) <= 0 {
			break
		}
	}
	return from, nil
}

// readSegment emits the lines of a segment from the position on.
func (r *reader) readSegment(ctx context.Context, s segment, emit func([]byte) bool) error {
	if s.attempt > r.at.attempt {
		r.at, r.bytes = position{attempt: s.attempt}, 0
	}
	if r.open != s.position {
		r.open, r.offset, r.nextInOpen = s.position, 0, s.line
	}
	lines, err := r.load(ctx, s)
	if err != nil || len(lines) == 0 {
		return err
	}
	if missing := s.line - r.at.line; missing > 0 {
		size := int64(-1)
		if r.bytes >= 0 {
			size = s.begin - r.bytes
		}
		r.at.line, r.bytes = s.line, s.begin
		if !emit(gapLine(missing, size, lines)) {
			return errStopped
		}
	}
	for text := range bytes.Lines(lines) {
		if text[len(text)-1] != '\n' {
			break
		}
		r.offset += int64(len(text))
		r.nextInOpen++
		if r.nextInOpen <= r.at.line {
			continue
		}
		r.at.line, r.bytes = r.nextInOpen, s.begin+r.offset
		if !emit(text) {
			return errStopped
		}
	}
	return nil
}

// load returns what follows the offset in a segment, or nothing when it was
// deleted meanwhile for newer lines.
func (r *reader) load(ctx context.Context, s segment) ([]byte, error) {
	if s.size <= r.offset {
		return nil, nil
	}
	if s.lines != nil {
		return s.lines[r.offset:], nil
	}
	key := r.ref.key(s)
	object, err := r.store.bucket.NewRangeReader(ctx, key, r.offset, -1, nil)
	if err != nil {
		if missing(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read log %s: %w", key, err)
	}
	defer func() { _ = object.Close() }() // it was only read
	lines, err := io.ReadAll(object)
	if err != nil {
		return nil, fmt.Errorf("read log %s: %w", key, err)
	}
	return lines, nil
}
