package executionlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob/memblob"

	"github.com/pointscene/carillon/server/internal/job"
)

// replicas are stores of several processes on one bucket.
func replicas(n int, options Options) []*Store {
	bucket := memblob.OpenBucket(nil)
	var stores []*Store
	for range n {
		stores = append(stores, newStore(bucket, options))
	}
	return stores
}

// arrival is a line and how long after the beginning a reader saw it.
type arrival struct {
	Message string
	After   time.Duration
}

// follow reads until the end in the background.
func follow(t *testing.T, store *Store, ended *atomic.Bool) (wait func() []arrival) {
	t.Helper()
	var seen []arrival
	done := make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(done)
		isEnded := func(context.Context) (bool, error) { return ended.Load(), nil }
		for line, err := range store.Tail(t.Context(), ref, Tail{Ended: isEnded}) {
			if err != nil {
				t.Error(err)
			}
			seen = append(seen, arrival{line.Message, time.Since(begin)})
		}
	}()
	return func() []arrival { <-done; return seen }
}

func TestReaderInTheSameProcessSeesLinesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := replicas(1, Options{})[0]
		var ended atomic.Bool
		w := store.Writer(ref, 1)
		wait := follow(t, store, &ended)
		var want []arrival
		begin := time.Now()
		for i := range 20 {
			time.Sleep(300 * time.Millisecond)
			writeLines(w, i, i+1)
			want = append(want, arrival{message(i), time.Since(begin)})
		}
		mustClose(t, w)
		ended.Store(true)
		if diff := cmp.Diff(want, wait()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReaderInAnotherProcessSeesLinesWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stores := replicas(2, Options{})
		var ended atomic.Bool
		wait := follow(t, stores[1], &ended) // before the attempt begins
		begin := time.Now()
		time.Sleep(5 * time.Second)
		w := stores[0].Writer(ref, 1)
		var written []time.Duration
		for i := range 50 {
			time.Sleep(170 * time.Millisecond)
			writeLines(w, i, i+1)
			written = append(written, time.Since(begin))
		}
		mustClose(t, w)
		ended.Store(true)
		seen := wait()
		if len(seen) != len(written) {
			t.Fatalf("%d lines, want %d: %v", len(seen), len(written), seen)
		}
		for i, a := range seen {
			if late := a.After - written[i]; a.Message != message(i) || late < 0 || late > 2*time.Second {
				t.Errorf("line %d: %q, %v after it was written", i, a.Message, late)
			}
		}
	})
}

// The reader's replica holds a writer that does not know yet that another one
// has taken the execution over.
func TestReaderIsNotHeldByASupersededAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stores := replicas(2, Options{})
		var ended atomic.Bool
		stale := stores[0].Writer(ref, 1)
		writeLines(stale, 0, 2)
		wait := follow(t, stores[0], &ended)
		time.Sleep(3 * time.Second)
		next := stores[1].Writer(ref, 2)
		writeLines(next, 10, 12)
		mustClose(t, next)
		ended.Store(true)
		var got []string
		for _, a := range wait() {
			got = append(got, a.Message)
		}
		if diff := cmp.Diff([]string{message(0), message(1), message(10), message(11)}, got); diff != "" {
			t.Error(diff)
		}
		mustClose(t, stale)
	})
}

func TestFollowOfASilentExecutionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := replicas(1, Options{})[0]
		var ended atomic.Bool
		w := store.Writer(ref, 1)
		wait := follow(t, store, &ended)
		time.Sleep(10 * time.Second)
		mustClose(t, w)
		ended.Store(true)
		begin := time.Now()
		if got := wait(); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		if late := time.Since(begin); late > time.Second {
			t.Errorf("the end was noticed after %v", late)
		}
	})
}

func TestFollowEndsWithItsContextAndWithAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := replicas(1, Options{})[0]
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		never := func(context.Context) (bool, error) { return false, nil }
		broken := errors.New("database gone")
		for name, c := range map[string]struct {
			ended func(context.Context) (bool, error)
			want  error
		}{
			"context": {never, context.DeadlineExceeded},
			"ended":   {func(context.Context) (bool, error) { return false, broken }, broken},
		} {
			n := 0
			for _, err := range store.Tail(ctx, ref, Tail{Ended: c.ended}) {
				n++
				if !errors.Is(err, c.want) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if n != 1 {
				t.Errorf("%s: %d answers, want the error alone", name, n)
			}
		}
	})
}

func TestStoppingEarlyIsNoError(t *testing.T) {
	t.Parallel()
	store := replicas(1, Options{})[0]
	w := store.Writer(ref, 1)
	writeLines(w, 0, 10)
	n := 0
	for _, err := range store.Tail(t.Context(), ref, Tail{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	mustClose(t, w)
}

func TestCursorOfAnotherLogIsRefused(t *testing.T) {
	t.Parallel()
	store := replicas(1, Options{})[0]
	foreign := Ref{InstanceID: 1, ExecutionID: 6}.cursor(position{1, 3})
	for _, cursor := range []string{foreign, "x", ref.cursor(position{1, 3}) + "=", ref.cursor(position{0, 3}), ref.cursor(position{1, -3})} {
		for _, err := range store.Tail(t.Context(), ref, Tail{Cursor: cursor}) {
			var invalid *job.InvalidError
			if !errors.As(err, &invalid) || invalid.Violations[0].Field != "cursor" {
				t.Errorf("%q: %v", cursor, err)
			}
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(ref.cursor(position{1, 0}))
	f.Add(ref.cursor(position{12, 1 << 50}))
	f.Fuzz(func(t *testing.T, text string) {
		at, err := ref.parseCursor("cursor", text)
		if err == nil && text != "" && ref.cursor(at) != text {
			t.Errorf("%q is accepted as %v, which is written %q", text, at, ref.cursor(at))
		}
	})
}

func TestExecutionsAndTasksDoNotMix(t *testing.T) {
	t.Parallel()
	const tasks, lines = 4, 200
	store := replicas(1, Options{})[0]
	store.segmentBytes = 2000
	var all sync.WaitGroup
	refs := []Ref{{1, 1}, {1, 2}, {2, 3}}
	for _, r := range refs {
		w := store.Writer(r, 1)
		var running sync.WaitGroup
		for task := range tasks {
			log := slog.New(w.Handler()).With("task", fmt.Sprint("task", task))
			running.Go(func() {
				for i := range lines {
					log.Info(fmt.Sprint("of ", r.ExecutionID), "number", i)
				}
			})
		}
		all.Go(func() {
			running.Wait()
			mustClose(t, w)
		})
	}
	all.Wait()
	for _, r := range refs {
		next := map[string]int{}
		for line, err := range store.Tail(t.Context(), r, Tail{}) {
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprint("of ", r.ExecutionID); line.Message != want {
				t.Fatalf("%q in the log %q", line.Message, want)
			}
			if got := int(line.Attributes["number"].(float64)); got != next[line.Task] {
				t.Fatalf("%s: line %d follows line %d", line.Task, got, next[line.Task]-1)
			}
			next[line.Task]++
		}
		for task := range tasks {
			if got := next[fmt.Sprint("task", task)]; got != lines {
				t.Errorf("task %d has %d lines, want %d", task, got, lines)
			}
		}
	}
}
