package tests

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/pointscene/carillon/tests/apstest"
	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// startS3 runs an S3 server with one bucket, and answers the config of a remote
// for it.
func startS3(t *testing.T, bucket string, files map[string]string) object {
	t.Helper()
	config, _ := startS3With(t, bucket, files, func(next http.Handler) http.Handler { return next })
	return config
}

// startS3With runs one behind something else, and counts its objects.
func startS3With(t *testing.T, bucket string, files map[string]string, before func(http.Handler) http.Handler) (config object, objects func() int) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if _, err := backend.PutObject(t.Context(), bucket, name, map[string]string{}, strings.NewReader(content), int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
	const key, secret = "AKIDEXAMPLE", "wJalrXUtnFEMI-TOPSECRET"
	server := httptest.NewServer(before(gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{key: secret})).Server()))
	t.Cleanup(server.Close)
	objects = func() int {
		list, err := backend.ListBucket(context.Background(), bucket, nil, gofakes3.ListBucketPage{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Contents)
	}
	return object{"type": "s3", "access_key_id": key, "secret_access_key": secret, "endpoint": server.URL, "force_path_style": "true"}, objects
}

// manyFiles are small files in twenty folders, a few that are larger, and one
// that ACC takes in parts.
func manyFiles(count int) map[string]string {
	files := map[string]string{}
	for i := range count {
		line := fmt.Sprintf("line of the file %d\n", i)
		repeat := 1 + i%100
		switch {
		case i == 0:
			repeat = 6 << 20 / len(line)
		case i%100 == 50:
			repeat = 300 << 10 / len(line)
		}
		files[fmt.Sprintf("%02d/%d.txt", i%20, i)] = strings.Repeat(line, repeat)
	}
	return files
}

// onDisk are the contents of the files below a folder. What is being written
// has a hidden name, and is left out.
func onDisk(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".carillon-") {
			return err
		}
		content, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, at)
		found[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	return found
}

// broken names a file that is not what it is to become, if there is one.
func broken(found, want map[string]string) string {
	for name, content := range found {
		if wanted, known := want[name]; !known || content != wanted {
			return fmt.Sprintf("%q has %d bytes, is to have %d", name, len(content), len(wanted))
		}
	}
	return ""
}

// watch looks at a destination until the test or stop ends it, and fails the
// test when a file there is not whole.
func watch(t *testing.T, want map[string]string, look func() map[string]string) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if bad := broken(look(), want); bad != "" {
				t.Errorf("while it is synced, %s", bad)
				return
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// killRunner kills the replica that has the only execution, and starts it again.
func killRunner(t *testing.T, replicas []*harness.Server) {
	t.Helper()
	at := slices.IndexFunc(replicas, func(s *harness.Server) bool { return active(t, s) != "0" })
	if at < 0 {
		t.Fatal("no replica runs the execution")
	}
	replicas[at].Kill(t)
	replicas[at] = replicas[at].Again(t)
}

// A job carries many files from S3 to ACC and some of them on to a disk. The
// replica that runs it is killed in the middle of either way; all arrives in
// the end, nothing was ever half-written, and the record names every file.
func TestSyncOutlivesKills(t *testing.T) {
	t.Parallel()
	count, limit := roundsOf(300, 5000), time.Minute
	if long() {
		limit = 5 * time.Minute
	}
	const acc, disk = "Project Files/plans", "plans"
	want := manyFiles(count)
	part := maps.Clone(want)
	maps.DeleteFunc(part, func(name, _ string) bool { return !strings.HasPrefix(name, "0") })
	stored := map[string]string{}
	for name, content := range want {
		stored["in/"+name] = content
		stored["in/cache/"+name], stored["in/"+name+".tmp"] = "filtered", "filtered"
	}

	aps := apstest.Start(t, apstest.Options{RateFactor: 1000})
	root := t.TempDir()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: append([]string{
		"--local-remote-root", root, "--aps-rate-factor", "900"}, harness.Loopback...)})
	tenant := replicas[0].NewTenant(t)
	harness.Must(t, tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": tenant.Resource, "config": object{
		"s3": startS3(t, "bucket", stored), "acc": toAny(aps.Config("ada")), "disk": object{"type": "local"}}})
	job := tenant.Create(t, object{"retryPolicy": object{"retryCount": 5, "minBackoff": "1s", "maxBackoff": "1s"}},
		object{"name": "filter", "type": "resource.input", "args": object{"id": tenant.Resource, "exclude": []any{"/cache/**", "*.tmp"}}},
		object{"name": "up", "type": "rclone.sync", "inputs": "filter", "args": object{
			"id": tenant.Resource, "transfers": 8, "remotes": []any{"s3:/bucket/in", "acc:/" + acc}}},
		object{"name": "down", "type": "sync.files", "inputs": "up", "args": object{
			"resourceId": tenant.Resource, "remotes": []any{"acc:/" + acc, "disk:/" + disk}, "include": []any{"/0*/**"}}})

	for _, stop := range []func(){
		watch(t, want, func() map[string]string { return aps.Files(acc) }),
		watch(t, part, func() map[string]string { return onDisk(t, filepath.Join(root, disk)) }),
	} {
		defer stop()
	}
	// Half of the files get through; the next ones wait for the kill, those on
	// their way to the disk in the middle of their content.
	held := make(chan struct{})
	for i, half := range []apstest.Fault{
		{Op: apstest.OpCreateItem, Skip: len(want) / 2, Times: -1, Wait: held},
		{Op: apstest.OpGetObject, Skip: len(part) / 2, Times: -1, Wait: held, Cut: 10},
	} {
		aps.Inject(half)
		if i == 0 {
			tenant.Run(t, job)
		}
		harness.Wait(t, limit, half.Op+" is half done", func() bool { return aps.Requests(half.Op) > half.Skip })
		killRunner(t, replicas)
		aps.Clear()
	}

	door := replicas[0].As(tenant.Operator.Token).GRPCDoor()
	var ended object
	harness.Wait(t, limit, "the execution has ended", func() bool {
		ended = harness.List(harness.Must(t, door, "ListExecutions", object{"jobId": job}), "executions")[0]
		return ended["finishedAt"] != nil
	})
	if ended["state"] != "SUCCEEDED" || fmt.Sprint(ended["attempt"]) != "3" {
		t.Fatalf("ended %v at attempt %v: %v", ended["state"], ended["attempt"], ended["error"])
	}
	places := map[string]map[string]string{"acc:/" + acc: aps.Files(acc), "disk:/" + disk: onDisk(t, filepath.Join(root, disk))}
	complete := map[string]map[string]string{"acc:/" + acc: want, "disk:/" + disk: part}
	for place, found := range places {
		if bad := broken(found, complete[place]); bad != "" || len(found) != len(complete[place]) {
			t.Errorf("%s has %d files, want %d; %s", place, len(found), len(complete[place]), bad)
		}
	}
	checkRecords(t, door, harness.Text(ended, "id"), complete)
	for _, violation := range aps.Violations() {
		t.Error(violation)
	}
}

// checkRecords wants a record of every file at every place, of no other one,
// and of none that failed.
func checkRecords(t *testing.T, door harness.Door, execution string, places map[string]map[string]string) {
	t.Helper()
	records, err := harness.All(t.Context(), door, "ListExecutionFiles", "files", object{"executionId": execution})
	if err != nil {
		t.Fatal(err)
	}
	recorded, states, lost := map[string]bool{}, map[any]int{}, map[string]bool{}
	for _, r := range records {
		place, name := harness.Text(r, "remote"), harness.Text(r, "path")
		content, known := places[place][name]
		switch state := r["state"]; {
		case !known:
			t.Fatalf("there is a record of another file: %v", r)
		case state != "DONE" && state != "UNKNOWN":
			t.Fatalf("a file was not synced: %v", r)
		case harness.Text(r, "size") != fmt.Sprint(len(content)):
			t.Fatalf("the file has %d bytes: %v", len(content), r)
		}
		recorded[path.Join(place, name)] = true
		lost[path.Join(place, name)] = r["state"] == "UNKNOWN" // the last record counts
		states[r["state"]]++
	}
	for place, files := range places {
		for name := range files {
			if !recorded[path.Join(place, name)] {
				t.Fatalf("%s has no record of %q", place, name)
			}
		}
	}
	for name, unknown := range lost {
		if unknown {
			t.Errorf("the last record of %q does not say what became of it", name)
		}
	}
	// The kills took outcomes with them; the attempts after them found out.
	if states["UNKNOWN"] == 0 || states["DONE"] == 0 {
		t.Errorf("the records say %v", states)
	}
	t.Logf("%d files, %d records: %v", len(recorded), len(records), states)
}
