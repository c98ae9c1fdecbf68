package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/job"
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
	// busy is how often the token server answers that it is.
	busy int
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
		if g.busy > 0 {
			g.busy--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
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

// vault keeps a user's config as the store would, for several sessions.
type vault struct {
	g *google
	// broken is why nothing can be kept.
	broken error

	mu      sync.Mutex
	options map[string]string
	refused []string
}

func (g *google) vault(user string) *vault {
	return &vault{g: g, options: map[string]string{
		"client_id": "id-" + user, "client_secret": "secret-" + user, "scope": "drive",
		"token": `{"access_token":"expired","token_type":"Bearer","refresh_token":"refresh-0-` + user + `","expiry":"2020-01-01T00:00:00Z"}`,
	}}
}

func (v *vault) config() task.RemoteConfig {
	v.mu.Lock()
	defer v.mu.Unlock()
	return task.RemoteConfig{ResourceID: 7, Name: "drive", Type: "drive", Options: maps.Clone(v.options), Renew: v.renew, Refused: v.refuse}
}

func (v *vault) renew(ctx context.Context, fresh func(map[string]string) bool, exchange task.Exchange) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if fresh(v.options) {
		return v.options["token"], nil
	}
	text, err := exchange(ctx, v.options)
	if err == nil {
		err = v.broken
	}
	if err != nil {
		return "", err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &token); err != nil {
		return "", err
	}
	v.options["token"] = text
	v.g.mu.Lock()
	defer v.g.mu.Unlock()
	v.g.saved[token.AccessToken] = true
	return text, nil
}

func (v *vault) refuse(_ context.Context, why *job.Failure) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = append(v.refused, why.Message)
	return nil
}

// withdraw makes every access token worthless, and with it, if asked, the
// refresh tokens.
func (g *google) withdraw(refreshTokens bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.access)
	if refreshTokens {
		clear(g.refresh)
	}
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

// listAs opens a session and lists the root.
func listAs(t *testing.T, g *google, id string, v *vault) error {
	t.Helper()
	_, s, log := g.open(t, id)
	r, err := s.Open(v.config(), "/")
	if err == nil {
		if _, err = r.fs.List(s.ctx, ""); err != nil {
			err = s.explain(r, "list", err)
		}
	}
	if strings.Contains(log.String(), "access-") || strings.Contains(log.String(), "refresh-") {
		t.Errorf("a token is in the log: %s", log)
	}
	return err
}

// Several users, and several sessions of each, whose refresh tokens are good
// for one use.
func TestTokensAreRenewedOnceAndKeptBeforeUse(t *testing.T) {
	t.Parallel()
	users := []string{"red", "blue", "green", "grey"}
	g := startGoogle(t, users...)
	var running sync.WaitGroup
	for _, user := range users {
		v := g.vault(user)
		for n := range 5 {
			running.Go(func() {
				if err := listAs(t, g, fmt.Sprint(user, n), v); err != nil {
					t.Error(err)
				}
			})
		}
	}
	running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refreshes != len(users) || len(g.saved) != len(users) || len(g.violations) > 0 {
		t.Errorf("%d refreshes, %d saved, violations %q", g.refreshes, len(g.saved), g.violations)
	}
}

func TestTokenThatCanNotBeKeptIsNotUsed(t *testing.T) {
	t.Parallel()
	g := startGoogle(t, "red")
	v := g.vault("red")
	v.broken = errors.New("the store is down")
	if err := listAs(t, g, "", v); !errors.Is(err, v.broken) {
		t.Errorf("open: %v, want the error of keeping", err)
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
	err := listAs(t, g, "", g.vault("nobody"))
	wantReason(t, err, job.ReasonReauth)
	if !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("the failure is %v", err)
	}
}

func TestAccessTokenWithoutRefreshTokenEnds(t *testing.T) {
	t.Parallel()
	g := startGoogle(t, "red")
	v := g.vault("red")
	v.options["token"] = `{"access_token":"old","expiry":"2020-01-01T00:00:00Z"}`
	wantReason(t, listAs(t, g, "", v), job.ReasonReauth)
}

// A token with less than a minute left is renewed; one with more is not.
func TestTokenIsRenewedAMinuteAhead(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]int{50 * time.Second: 1, 10 * time.Minute: 0} {
		g := startGoogle(t, "red")
		g.access["access-now"], g.saved["access-now"] = "red", true
		v := g.vault("red")
		v.options["token"] = fmt.Sprintf(`{"access_token":"access-now","refresh_token":"refresh-0-red","expiry":%q}`, time.Now().Add(left).Format(time.RFC3339))
		if err := listAs(t, g, fmt.Sprint(left), v); err != nil {
			t.Error(err)
		}
		if g.refreshes != want {
			t.Errorf("with %s left it was renewed %d times, want %d", left, g.refreshes, want)
		}
	}
}

// A token that the service refuses before its end is renewed, and only if that
// does not help are the credentials refused.
func TestTokenRefusedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	g := startGoogle(t, "red")
	v := g.vault("red")
	if err := listAs(t, g, "1", v); err != nil {
		t.Fatal(err)
	}
	g.withdraw(false)
	wantReason(t, listAs(t, g, "2", v), ReasonRemoteFailed)
	if err := listAs(t, g, "3", v); err != nil || len(v.refused) > 0 {
		t.Errorf("after it was renewed: %v, refused %q", err, v.refused)
	}
	g.withdraw(true)
	wantReason(t, listAs(t, g, "4", v), job.ReasonReauth)
}

func TestTokenServerThatCanNotAnswerIsAskedAgain(t *testing.T) {
	t.Parallel()
	g := startGoogle(t, "red")
	g.busy = 2
	if err := listAs(t, g, "", g.vault("red")); err != nil {
		t.Errorf("a token server that was busy twice: %v", err)
	}
	g.busy = 1000
	err := listAs(t, g, "again", g.vault("red"))
	wantReason(t, err, ReasonRemoteFailed)
}
