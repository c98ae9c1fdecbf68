package executionlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/pointscene/carillon/server/internal/job"
)

// Options are settings of a Store. The zero value is usable.
type Options struct {
	// Limit is the most that one attempt keeps, in bytes; 0 means 10 MiB.
	Limit int
	// Level is the least severe level that is kept; nil means INFO.
	Level slog.Leveler
	// OnFailure is told of every failed write or deletion. It may be called
	// from several goroutines and must not block.
	OnFailure func(error)
}

const (
	defaultLimit = 10 << 20
	// flushEvery is how long a line may wait to be stored.
	flushEvery = time.Second
	// segmentBytes is the size from which on a segment is not continued.
	segmentBytes = 128 << 10
	// putTimeout bounds one write, so that a hanging store delays the end of
	// an execution by no more.
	putTimeout = 10 * time.Second
)

// Store holds the logs of all executions. It is safe for concurrent use.
type Store struct {
	bucket  *blob.Bucket
	options Options
	// segmentBytes is a field so that tests need not write megabytes.
	segmentBytes int
	// removeFolder removes a prefix at once where the store has folders.
	removeFolder func(prefix string) error

	mu sync.Mutex
	// live holds this process's open writers by execution.
	live map[int64]*Writer
}

// driver opens the bucket of a URL. removeFolder may be nil.
type driver func(ctx context.Context, address *url.URL) (bucket *blob.Bucket, removeFolder func(prefix string) error, err error)

var drivers = map[string]driver{"file": openFolder, "s3": openS3}

// Open opens the store at a URL, file:///var/lib/carillon/logs or
// s3://bucket?region=eu-central-1&prefix=carillon/, and checks that it can be
// reached. A folder is made when it is missing.
func Open(ctx context.Context, address string, options Options) (*Store, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("open log store: %w", err)
	}
	open, known := drivers[parsed.Scheme]
	if !known {
		return nil, fmt.Errorf("open log store: scheme %q is not file or s3", parsed.Scheme)
	}
	bucket, removeFolder, err := open(ctx, parsed)
	if err != nil {
		return nil, fmt.Errorf("open log store: %w", err)
	}
	store := newStore(bucket, options)
	store.removeFolder = removeFolder
	// Reading a log that can't exist tells whether the store answers at all.
	if _, err := store.list(ctx, Ref{}); err != nil {
		return nil, errors.Join(fmt.Errorf("open log store: %w", err), bucket.Close())
	}
	return store, nil
}

func newStore(bucket *blob.Bucket, options Options) *Store {
	options.Limit = cmp.Or(options.Limit, defaultLimit)
	if options.OnFailure == nil {
		options.OnFailure = func(error) {}
	}
	return &Store{bucket: bucket, options: options, segmentBytes: segmentBytes, live: map[int64]*Writer{}}
}

// Close releases the store. Writers must be closed before.
func (s *Store) Close() error { return s.bucket.Close() }

// Ref names the log of one execution.
type Ref struct{ InstanceID, ExecutionID int64 }

// Path is where the log lies in the store, known before anything is written:
// logs/inst_1/exec_5/.
func (r Ref) Path() string {
	return "logs/" + job.KindInstance.Format(r.InstanceID) + "/" + job.KindExecution.Format(r.ExecutionID) + "/"
}

// Delete removes the logs of ended executions. It goes on after a failure and
// returns all of them; a log that does not exist is no failure.
func (s *Store) Delete(ctx context.Context, refs ...Ref) error {
	var failures []error
	for _, ref := range refs {
		if err := s.deleteOne(ctx, ref); err != nil {
			failures = append(failures, fmt.Errorf("delete log %s: %w", ref.Path(), err))
		}
	}
	return errors.Join(failures...)
}

func (s *Store) deleteOne(ctx context.Context, ref Ref) error {
	if s.removeFolder != nil {
		return s.removeFolder(ref.Path())
	}
	var failures []error
	objects := s.bucket.List(&blob.ListOptions{Prefix: ref.Path()})
	for {
		object, err := objects.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return errors.Join(failures...)
		case err != nil:
			return errors.Join(append(failures, err)...)
		}
		if err := s.bucket.Delete(ctx, object.Key); err != nil && !missing(err) {
			failures = append(failures, err)
		}
	}
}

// segment is one object of a log, or the lines that a writer holds in memory.
type segment struct {
	position
	// begin is how many bytes of the attempt come before.
	begin int64
	size  int64
	// lines is nil for what lies in the store.
	lines []byte
}

// position is a line of a log. Attempts count from 1, lines from 0.
type position struct {
	attempt int
	line    int64
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.attempt, q.attempt), cmp.Compare(p.line, q.line))
}

const keySuffix = ".ndjson"

// key is the object of a segment. The zeros make the keys sort as the lines do.
func (r Ref) key(s segment) string {
	return fmt.Sprintf("%s%04d/%010d-%012d%s", r.Path(), s.attempt, s.line, s.begin, keySuffix)
}

// parseKey is the inverse of key. It refuses what else may lie there, such as
// a temporary file of a process that was killed.
func (r Ref) parseKey(key string) (s segment, ok bool) {
	attempt, rest, _ := strings.Cut(strings.TrimPrefix(key, r.Path()), "/")
	rest, suffixed := strings.CutSuffix(rest, keySuffix)
	line, begin, _ := strings.Cut(rest, "-")
	s.attempt, _ = strconv.Atoi(attempt)
	s.line, _ = strconv.ParseInt(line, 10, 64)
	s.begin, _ = strconv.ParseInt(begin, 10, 64)
	return s, suffixed && r.key(s) == key
}

// list returns the stored segments of a log in order.
func (s *Store) list(ctx context.Context, ref Ref) ([]segment, error) {
	var segments []segment
	objects := s.bucket.List(&blob.ListOptions{Prefix: ref.Path()})
	for {
		object, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list log %s: %w", ref.Path(), err)
		}
		if s, ok := ref.parseKey(object.Key); ok {
			s.size = object.Size
			segments = append(segments, s)
		}
	}
	slices.SortFunc(segments, func(a, b segment) int { return a.compare(b.position) })
	return segments, nil
}
