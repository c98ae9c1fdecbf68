package remote

import (
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

func TestS3ThereAndBack(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	src := files{"a": "1", "sub/b ü.txt": "22", "sub/deep/c": strings.Repeat("3", 10000)}
	src.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	cloud := server.config("cloud", testKey, testSecret)
	up := func() (Result, []FileEvent, error) {
		return b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cloud, "/bkt/backup"), nil)
	}
	if result, _, err := up(); err != nil || result.Copied != 3 {
		t.Fatalf("up: %+v, %v", result, err)
	}
	server.read(t, "bkt").equal(t, files{"backup/a": "1", "backup/sub/b ü.txt": "22", "backup/sub/deep/c": src["sub/deep/c"]})
	if result, _, err := up(); err != nil || result != (Result{Found: 3, Skipped: 3}) {
		t.Fatalf("again: %+v, %v", result, err)
	}
	_, _, err := b.sync(t, s, mustOpen(t, s, cloud, "/bkt/backup"), mustOpen(t, s, local("a"), "/back"), nil)
	if err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/back").equal(t, src)
	if err := os.Remove(b.root + "/src/a"); err != nil {
		t.Fatal(err)
	}
	if result, _, err := up(); err != nil || result.Deleted != 1 {
		t.Fatalf("deleting: %+v, %v", result, err)
	}
	if b.dials.Load() == 0 || server.refused.Load() != 0 {
		t.Errorf("%d connections through the gate, %d refusals", b.dials.Load(), server.refused.Load())
	}
}

// A large file goes in parts, and is whole at the end.
func TestS3InParts(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	var parts atomic.Int64
	count := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.URL.Query().Has("partNumber") {
			parts.Add(1)
		}
		return false
	}
	server.intercept.Store(&count)
	src := files{"large": strings.Repeat("0123456789abcdef", 11<<16)} // 11 MiB
	src.write(t, b.root+"/src")
	cloud := server.config("cloud", testKey, testSecret)
	cloud.Type, cloud.Options["provider"] = s3Parts, "Other"
	s := b.session(t.Context(), t)
	for _, want := range []Result{{Found: 1, Copied: 1, Bytes: 11 << 20}, {Found: 1, Skipped: 1}} {
		result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cloud, "/bkt/x"), nil)
		if err != nil || result != want || parts.Load() != 3 {
			t.Fatalf("%+v in %d parts, %v; want %+v in 3", result, parts.Load(), err, want)
		}
	}
	if server.read(t, "bkt")["x/large"] != src["large"] {
		t.Error("the content differs")
	}
}

// With credentials that the server refuses the library says "it is a file" and
// opens the folder above, where a mirror would delete the neighbours.
func TestRefusedCredentialsTouchNoNeighbours(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	server.put(t, "bkt", "neighbour", "1")
	server.put(t, "bkt", "backup/old", "1")
	files{"a": "1"}.write(t, b.root+"/src")
	for _, bad := range []task.RemoteConfig{
		server.config("cloud", testKey, "wrong"), server.config("cloud", "AKIDUNKNOWN", testSecret),
	} {
		s := b.session(t.Context(), t)
		_, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, bad, "/bkt/backup"),
			func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
		wantReason(t, err, job.ReasonReauth)
	}
	server.read(t, "bkt").equal(t, files{"neighbour": "1", "backup/old": "1"})
}

func TestMissingPlacesOnS3(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	files{"a": "1"}.write(t, b.root+"/src")
	cloud := server.config("cloud", testKey, testSecret)
	tests := map[string]struct {
		from, to func(*Session) (*Remote, error)
		reason   string
	}{
		"missing prefix is an empty source": {openAt(cloud, "/bkt/typo"), openAt(local("a"), "/src"), ReasonSourceEmpty},
		"missing bucket as source":          {openAt(cloud, "/typo/x"), openAt(local("a"), "/src"), ReasonSourceMissing},
		"missing bucket as destination":     {openAt(local("a"), "/src"), openAt(cloud, "/typo/x"), ReasonDestMissing},
		"no bucket":                         {openAt(local("a"), "/src"), openAt(cloud, "/"), ReasonNoBucket},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := b.session(t.Context(), t)
			from, err := test.from(s)
			if err != nil {
				t.Fatal(err)
			}
			to, err := test.to(s)
			if err == nil {
				_, _, err = b.sync(t, s, from, to, nil)
			}
			wantReason(t, err, test.reason)
		})
	}
	read(t, b.root+"/src").equal(t, files{"a": "1"})
}

func openAt(cfg task.RemoteConfig, path string) func(*Session) (*Remote, error) {
	return func(s *Session) (*Remote, error) { return s.Open(cfg, path) }
}
