package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs/fshttp"
	"golang.org/x/oauth2"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	// minLeft is how long an access token must still be good for to be used.
	minLeft = time.Minute
	// libraryMargin is how long before its end the library asks for another.
	libraryMargin = 10 * time.Second
	// exchangeTries is how often a token server is asked that can't answer now,
	// exchangePause how long after the last time.
	exchangeTries = 3
	exchangePause = time.Second
)

// grant is how a type's tokens are renewed.
type grant struct {
	// url is the token server's.
	url   string
	style oauth2.AuthStyle
	// rotates is set where a refresh token is good for one use.
	rotates bool
	// lasts is how long a refresh token is good for since its last use, 0 where
	// that is not known.
	lasts time.Duration
}

// grants are the types with OAuth tokens.
var grants = map[string]grant{
	"drive":   {url: "https://oauth2.googleapis.com/token", style: oauth2.AuthStyleInParams},
	"dropbox": {url: "https://api.dropboxapi.com/oauth2/token", style: oauth2.AuthStyleInParams},
	typeACC:   {style: oauth2.AuthStyleInHeader, rotates: true, lasts: 15 * 24 * time.Hour}, // its url: atEndpoint
}

// atEndpoint is the grant of an app at the endpoint that goes with it: a secret
// must not be shown to another one that was stored meanwhile.
func (g grant) atEndpoint(values map[string]string) grant {
	g.url = strings.TrimSuffix(values["endpoint"], "/") + "/authentication/v2/token"
	if values["client_secret"] == "" { // such an app names itself in the body
		g.style = oauth2.AuthStyleInParams
	}
	return g
}

// tokens keeps one opened remote in access tokens. The library is never given a
// refresh token, so that it can't use one up behind the lock of the others.
type tokens struct {
	session *Session
	cfg     task.RemoteConfig
	grant   grant
	// client are the app's id and secret.
	id, secret string

	mu sync.Mutex
	// current is the token in use, as it is stored.
	current oauth2.Token
	// dead is an access token that was refused before its end.
	dead string
	// lost is set when the service has given a new refresh token that nobody
	// keeps, so that the one which is known may be used up.
	lost bool
}

func (s *Session) tokensOf(cfg task.RemoteConfig, values map[string]string) *tokens {
	g, ok := grants[cfg.Type]
	if !ok {
		return nil
	}
	if cfg.Type == typeACC {
		g = g.atEndpoint(values)
	}
	return &tokens{session: s, cfg: cfg, grant: g, id: values["client_id"], secret: values["client_secret"], current: tokenOf(cfg.Options)}
}

// tokenOf reads the token among stored options: as the service answered it, or
// from keys of its own.
func tokenOf(options map[string]string) (t oauth2.Token) {
	if text := options["token"]; text != "" {
		_ = json.Unmarshal([]byte(text), &t) // it was checked when it was stored
		return t
	}
	t = oauth2.Token{AccessToken: options["access_token"], RefreshToken: options["refresh_token"], TokenType: options["token_type"]}
	t.Expiry, _ = time.Parse(time.RFC3339Nano, options["expiry"]) // likewise
	return t
}

// fresh tells whether a token may be used.
func (t *tokens) fresh(token oauth2.Token) bool {
	return token.AccessToken != "" && token.AccessToken != t.dead && (token.Expiry.IsZero() || time.Until(token.Expiry) >= minLeft)
}

// get answers the token for the library, renewed when there is need. A failure
// ends the session. It returns soon after the session's end; a renewal that is
// under way then is still completed, lest its token be lost.
func (t *tokens) get() (text string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.fresh(t.current) {
		if err := t.renew(); err != nil {
			t.session.cancel(err)
			return "", false
		}
	}
	shown := oauth2.Token{AccessToken: t.current.AccessToken, TokenType: t.current.TokenType}
	if !t.current.Expiry.IsZero() {
		// The library looks again when it takes the token for expired.
		shown.Expiry = t.current.Expiry.Add(libraryMargin - minLeft)
	}
	written, err := json.Marshal(&shown)
	return string(written), err == nil
}

// renewNext makes the next get renew the token: the service refuses it.
func (t *tokens) renewNext() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = t.current.AccessToken
}

// set is told by the library that a token has expired before its time. There
// is nothing else that it could know.
func (t *tokens) set(text string) {
	var token oauth2.Token
	if json.Unmarshal([]byte(text), &token) != nil || token.Valid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = token.AccessToken
}

// renew replaces the current token; t.mu is held.
func (t *tokens) renew() error {
	type outcome struct {
		token string
		err   error
		lost  bool
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		if t.cfg.Renew == nil {
			o.token, o.err = t.unkept()
			next := tokenOf(map[string]string{"token": o.token}).RefreshToken
			o.lost = o.err == nil && next != "" && next != tokenOf(t.cfg.Options).RefreshToken
		} else {
			o.token, o.err = t.cfg.Renew(t.session.ctx, func(options map[string]string) bool { return t.fresh(tokenOf(options)) }, t.exchange)
		}
		done <- o
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return o.err
		}
		t.lost = t.lost || o.lost
		t.session.mask.add(o.token)
		t.current = tokenOf(map[string]string{"token": o.token})
		return nil
	case <-t.session.ctx.Done():
		return t.session.ended()
	}
}

// unkept renews a token that can't be stored, unless that would use it up.
func (t *tokens) unkept() (string, error) {
	if t.grant.rotates {
		return "", &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonTokenExpired, Message: fmt.Sprintf(
			"the access token of remote %q has expired or is refused, and its refresh token is good for one use: store the config, then it is renewed", t.cfg.Name)}
	}
	ctx, cancel := context.WithTimeout(t.session.ctx, dialTimeout)
	defer cancel()
	return t.exchange(ctx, t.cfg.Options)
}

// hasLost tells whether a new refresh token was given that nobody keeps.
func (t *tokens) hasLost() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// exchange implements task.Exchange. It has a session of its own: the end of
// the one that needs the token must not cut the answer off.
func (t *tokens) exchange(ctx context.Context, options map[string]string) (string, error) {
	old := tokenOf(options)
	if old.RefreshToken == "" {
		return "", t.refused("its access token has expired, and there is no refresh token")
	}
	session := t.session.remotes.Begin(ctx, SessionOptions{ID: t.session.id + "/token/" + t.cfg.Name, Log: t.session.log})
	defer session.Close()
	session.mask.add(old.RefreshToken)
	session.mask.add(t.secret)
	config := oauth2.Config{ClientID: t.id, ClientSecret: t.secret, Endpoint: oauth2.Endpoint{TokenURL: t.grant.url, AuthStyle: t.grant.style}}
	asking := context.WithValue(session.ctx, oauth2.HTTPClient, fshttp.NewClient(session.ctx))
	for try := 1; ; try++ {
		token, err := config.TokenSource(asking, &oauth2.Token{RefreshToken: old.RefreshToken}).Token()
		if err == nil {
			token.ExpiresIn = 0 // it says the same as Expiry, but since when nobody knows
			written, err := json.Marshal(token)
			return string(written), err
		}
		if cause := session.ended(); cause != nil {
			if _, ok := errors.AsType[*job.Failure](cause); ok {
				return "", cause // the guard's
			}
		}
		var answer *oauth2.RetrieveError
		switch {
		case errors.As(err, &answer) && answer.Response != nil && final(answer.Response.StatusCode):
			return "", t.refused(session.mask.text(grantError(answer)))
		case try == exchangeTries || !pause(session.ctx, exchangePause):
			return "", &job.Failure{Code: "UNAVAILABLE", Reason: ReasonRemoteFailed,
				Message: fmt.Sprintf("renew the token of remote %q: %s", t.cfg.Name, session.unanswered(err))}
		}
	}
}

// refused says that there is no way on without somebody's help.
func (t *tokens) refused(why string) *job.Failure {
	return &job.Failure{Code: "UNAUTHENTICATED", Reason: job.ReasonReauth,
		Message: fmt.Sprintf("the token of remote %q can't be renewed: %s; add a new config", t.cfg.Name, why)}
}

// unanswered is why a token server gave no token, without what else it said.
func (s *Session) unanswered(err error) string {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answer.Response != nil {
		return s.mask.text(grantError(answer))
	}
	return s.text(err)
}

// final tells whether a token server's status is its last word.
func final(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// grantError is what a token server said, without the rest of its answer.
func grantError(e *oauth2.RetrieveError) string {
	if e.ErrorCode == "" {
		return "the token server answered " + e.Response.Status
	}
	if e.ErrorDescription == "" {
		return e.ErrorCode
	}
	return e.ErrorCode + " (" + e.ErrorDescription + ")"
}

// pause waits; false when ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
