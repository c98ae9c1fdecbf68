package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/task"
)

// google plays the parts of Google that a listing of one folder needs. Every
// refresh token works once, as those of some services do.
type google struct {
	*httptest.Server
	mu sync.Mutex
	// refresh maps a valid refresh token to its user, access an access token.
	refresh, access map[string]string
	// saved are the access tokens that the client has saved.
	saved map[string]bool
	// violations are what a client must not do.
	violations []string
	refreshes  int
}

func startGoogle(t *testing.T, users ...string) *google {
	t.Helper()
	g := &google{refresh: map[string]string{}, access: map[string]string{}, saved: map[string]bool{}}
	for _, user := range users {
		g.refresh["refresh-0-"+user] = user
	}
	g.Server = httptest.NewTLSServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.Close)
	return g
}

func (g *google) serve(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" {
		old := r.FormValue("refresh_token")
		user, ok := g.refresh[old]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		g.refreshes++
		delete(g.refresh, old)
		next := fmt.Sprintf("%d-%s", g.refreshes, user)
		g.refresh["refresh-"+next], g.access["access-"+next] = user, user
		fmt.Fprintf(w, `{"access_token":"access-%s","refresh_token":"refresh-%s","token_type":"Bearer","expires_in":3600}`, next, next)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	user, ok := g.access[token]
	switch {
	case !ok:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"code":401,"message":"no"}}`)
		return
	case !g.saved[token]:
		g.violations = append(g.violations, "used before it was saved: "+token)
	}
	if strings.HasSuffix(r.URL.Path, "/files/root") {
		fmt.Fprintf(w, `{"id":"root-of-%s"}`, user)
		return
	}
	if q := r.URL.Query().Get("q"); !strings.Contains(q, "root-of-"+user) {
		g.violations = append(g.violations, user+" asks "+q)
	}
	fmt.Fprint(w, `{"files":[]}`)
}

// dial connects to the fake whatever the host's name is.
func (g *google) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, g.Listener.Addr().String())
}

func (g *google) config(user string, save func(ctx context.Context, key, value string) error) task.RemoteConfig {
	return task.RemoteConfig{ResourceID: 7, Name: "drive", Type: "drive", Save: save, Options: map[string]string{
		"client_id": "id-" + user, "client_secret": "secret-" + user, "scope": "drive",
		"token": `{"access_token":"expired","token_type":"Bearer","refresh_token":"refresh-0-` + user + `","expiry":"2020-01-01T00:00:00Z"}`}}
}

// remember is a Save that tells the fake what was saved.
func (g *google) remember(_ context.Context, key, value string) error {
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(value), &token); err != nil || key != "token" {
		return fmt.Errorf("saved %s: %w", key, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.saved[token.AccessToken] = true
	return nil
}

func (g *google) open(t *testing.T, id string) (*Remotes, *Session, *safeBuffer) {
	t.Helper()
	remotes, err := New(Options{Dial: g.dial, LocalRoot: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remotes.Close() })
	log := &safeBuffer{}
	s := remotes.Begin(t.Context(), SessionOptions{ID: t.Name() + id, Log: slog.New(slog.NewTextHandler(log, nil))})
	fs.GetConfig(s.ctx).InsecureSkipVerify = true // the fake is not Google
	t.Cleanup(s.Close)
	return remotes, s, log
}

func TestRefreshedTokensAreSavedBeforeUse(t *testing.T) {
	t.Parallel()
	users := []string{"red", "blue", "green", "grey"}
	g := startGoogle(t, users...)
	var running sync.WaitGroup
	for _, user := range users {
		_, s, log := g.open(t, user)
		running.Go(func() {
			r, err := s.Open(g.config(user, g.remember), "/")
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := r.fs.List(s.ctx, ""); err != nil {
				t.Error(err)
			}
			if strings.Contains(log.String(), "access-") || strings.Contains(log.String(), "refresh-") {
				t.Errorf("a token is in the log: %s", log)
			}
		})
	}
	running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refreshes != len(users) || len(g.saved) != len(users) || len(g.violations) > 0 {
		t.Errorf("%d refreshes, %d saved, violations %q", g.refreshes, len(g.saved), g.violations)
	}
}

func TestTokenThatCanNotBeSavedIsNotUsed(t *testing.T) {
	t.Parallel()
	g := startGoogle(t, "red")
	_, s, _ := g.open(t, "")
	broken := errors.New("the store is down")
	_, err := s.Open(g.config("red", func(context.Context, string, string) error { return broken }), "/")
	if !errors.Is(err, broken) {
		t.Errorf("open: %v, want the error of saving", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.violations) > 0 {
		t.Errorf("violations %q", g.violations)
	}
}

func TestRevokedGrantIsSaidSo(t *testing.T) {
	t.Parallel()
	g := startGoogle(t)
	_, s, _ := g.open(t, "")
	_, err := s.Open(g.config("nobody", g.remember), "/")
	wantReason(t, err, ReasonRemoteRefused)
}
