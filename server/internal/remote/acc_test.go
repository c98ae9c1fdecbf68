package remote

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/tests/apstest"
)

// accConfig is a remote of the fake through an app of its own.
func accConfig(aps *apstest.Server, user string) task.RemoteConfig {
	options := aps.Config(user)
	delete(options, "type")
	return task.RemoteConfig{ResourceID: 7, Name: "acc", Type: "acc", Options: options}
}

func startAPS(t *testing.T, o apstest.Options) *apstest.Server {
	t.Helper()
	o.RateFactor = 1100 // beyond what the bundle uses
	aps := apstest.Start(t, o)
	t.Cleanup(func() {
		for _, violation := range aps.Violations() {
			t.Error(violation)
		}
	})
	return aps
}

func TestACCThereAndBack(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	aps := startAPS(t, apstest.Options{})
	src := files{"a": "1", "sub/b ü: ?.txt": "22", "sub/deep/c": strings.Repeat("3", 10000), "empty": ""}
	src.write(t, b.root+"/src")
	aps.Put("Project Files/mirror/gone/old", "x")
	aps.Put("Project Files/neighbour", "x")
	s := b.session(t.Context(), t)
	up := func() (Result, []FileEvent, error) {
		return b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, accConfig(aps, "ada"), "/Project Files/mirror"),
			func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
	}
	if result, _, err := up(); err != nil || result.Copied != 4 || result.Deleted != 1 {
		t.Fatalf("up: %+v, %v", result, err)
	}
	want := files{"neighbour": "x"}
	for name, content := range src {
		want["mirror/"+strings.NewReplacer(":", "：", "?", "？").Replace(name)] = content
	}
	files(aps.Files("Project Files")).equal(t, want)
	if got := aps.Folders("Project Files/mirror"); !slices.Equal(got, []string{"sub", "sub/deep"}) {
		t.Errorf("folders are %v", got)
	}
	if result, _, err := up(); err != nil || result != (Result{Found: 4, Skipped: 4}) {
		t.Fatalf("again: %+v, %v", result, err)
	}
	// Same size, same time: only the checksum tells.
	files{"a": "9"}.write(t, b.root+"/src")
	if result, events, err := up(); err != nil || result.Updated != 1 || events[0].Path != "a" {
		t.Fatalf("edited: %+v, %v, %v", result, events, err)
	}
	if got := aps.Versions("Project Files/mirror/a"); !slices.Equal(got, []string{"1", "9"}) {
		t.Errorf("versions are %q", got)
	}
	aps.Inject(apstest.Fault{Op: apstest.OpGetObject, Cut: 1}) // a file of more than a byte goes on where it broke
	if _, _, err := b.sync(t, s, mustOpen(t, s, accConfig(aps, "ada"), "/Project Files/mirror"), mustOpen(t, s, local("b"), "/back"), nil); err != nil {
		t.Fatal(err)
	}
	src["a"] = "9"
	read(t, b.root+"/back").equal(t, src)
	if b.dials.Load() == 0 {
		t.Error("nothing went through the gate")
	}
}

// What a service has no content of is counted, and never touched.
func TestACCModelsAreSkipped(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	aps := startAPS(t, apstest.Options{NoSHA1: true})
	aps.Put("Project Files/d/a", "1")
	aps.PutModel("Project Files/d/model.rvt")
	s := b.session(t.Context(), t)
	cfg := accConfig(aps, "ada")
	result, events, err := b.sync(t, s, mustOpen(t, s, cfg, "/Project Files/d"), mustOpen(t, s, local("b"), "/d"), nil)
	if err != nil || result.Copied != 1 || result.Skipped != 1 || len(events) != 2 || events[1].Action != Skipped || events[1].Path != "model.rvt" {
		t.Fatalf("down: %+v, %v, %v", result, events, err)
	}
	result, _, err = b.sync(t, s, mustOpen(t, s, local("b"), "/d"), mustOpen(t, s, cfg, "/Project Files/d"), nil)
	if err != nil || result != (Result{Found: 1, Skipped: 1}) {
		t.Fatalf("up: %+v, %v", result, err)
	}
	if len(aps.Versions("Project Files/d/model.rvt")) != 1 {
		t.Error("the model was deleted")
	}
	if !strings.Contains(b.log.String(), "compared by size") {
		t.Error("the log does not say that there are no checksums")
	}
}

// The server's app serves remotes that bring none, with their tokens key by key.
func TestACCWithTheServersApp(t *testing.T) {
	t.Parallel()
	aps := startAPS(t, apstest.Options{})
	aps.Put("Project Files/a", "1")
	own := aps.Config("ada")
	var token map[string]string
	_ = json.Unmarshal([]byte(aps.ExpiredToken("bob")), &token)
	var mu sync.Mutex
	kept := map[string]string{"hub_id": own["hub_id"], "project_id": own["project_id"], "access_token": token["access_token"],
		"refresh_token": token["refresh_token"], "token_type": "Bearer", "expiry": token["expiry"]}
	cfg := task.RemoteConfig{ResourceID: 7, Name: "acc", Type: "acc", Options: maps.Clone(kept),
		Renew: func(ctx context.Context, fresh func(map[string]string) bool, exchange task.Exchange) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			if fresh(kept) {
				return kept["token"], nil
			}
			text, err := exchange(ctx, kept)
			if err == nil {
				kept["token"] = text
			}
			return text, err
		}}
	b := setupWith(t, func(o *Options) {
		o.App = App{ClientID: own["client_id"], ClientSecret: own["client_secret"], Endpoint: aps.URL, RateFactor: 1000}
	})
	s := b.session(t.Context(), t)
	list := func(cfg task.RemoteConfig) error {
		r, err := s.Open(cfg, "/Project Files")
		if err == nil {
			_, err = r.fs.List(s.ctx, "")
		}
		return err
	}
	if err := list(cfg); err != nil || kept["token"] == "" {
		t.Fatalf("list: %v, kept %v", err, kept)
	}
	aps.ExpireAccess()
	if err := list(cfg); err != nil || aps.Requests(apstest.OpToken) != 2 {
		t.Errorf("a token that ended early: %v after %d refreshes", err, aps.Requests(apstest.OpToken))
	}
	cfg.Options["endpoint"] = "https://elsewhere.example.com"
	wantReason(t, list(cfg), ReasonAppMissing)
	without := setupTest(t)
	_, err := without.session(t.Context(), t).Open(task.RemoteConfig{Name: "acc", Type: "acc", Options: kept}, "/Project Files")
	wantReason(t, err, ReasonAppMissing)
	if !strings.Contains(err.Error(), "--aps-client-id") {
		t.Errorf("the failure does not say what to set: %v", err)
	}
	if text := b.log.String(); strings.Contains(text, own["client_secret"]) || strings.Contains(text, token["refresh_token"]) {
		t.Error("a secret is in the log")
	}
}

func TestACCRefusals(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	aps := startAPS(t, apstest.Options{})
	files{"a": "1"}.write(t, b.root+"/src")
	aps.Deny("Project Files/secret")
	s := b.session(t.Context(), t)
	up := func(s *Session, cfg task.RemoteConfig, path string) error {
		to, err := s.Open(cfg, path)
		if err == nil {
			_, _, err = b.sync(t, s, mustOpen(t, s, local("a"), "/src"), to, nil)
		}
		return err
	}
	wantReason(t, up(s, accConfig(aps, "ada"), "/Project Files/secret"), ReasonRemoteRefused)
	if err := up(s, accConfig(aps, "ada"), "/Elsewhere"); err == nil || !strings.Contains(err.Error(), "no top folder") {
		t.Errorf("beside the top folders: %v", err)
	}
	revoked := accConfig(aps, "eve")
	aps.Revoke("eve")
	wantReason(t, up(b.session(t.Context(), t), revoked, "/Project Files"), ReasonTokenExpired)
	guarded := setupAllowing(t, "192.0.2.0/24")
	files{"a": "1"}.write(t, guarded.root+"/src")
	s = guarded.session(t.Context(), t)
	_, _, err := guarded.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, accConfig(aps, "ada"), "/Project Files"), nil)
	wantReason(t, err, egress.ReasonDenied)
}

// A status of the storage is no verdict on the credentials.
func TestACCStorageThatForbids(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	aps := startAPS(t, apstest.Options{})
	aps.Put("Project Files/d/a", "1")
	aps.Inject(apstest.Fault{Op: apstest.OpGetObject, Status: http.StatusForbidden}) // once: a URL that has ended
	s := b.session(t.Context(), t)
	if _, _, err := b.sync(t, s, mustOpen(t, s, accConfig(aps, "ada"), "/Project Files/d"), mustOpen(t, s, local("b"), "/d"), nil); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(b.root, "d/a")); err != nil || string(content) != "1" {
		t.Errorf("read %q, %v", content, err)
	}
}
