package apstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// allScopes are the scopes that a token has unless asked otherwise.
const allScopes = "data:read data:write data:create"

// grant is what one person has allowed the app. It is revoked as a whole.
type grant struct {
	user    string
	scopes  []string
	used    bool
	revoked *bool
}

type access struct {
	grant   *grant
	expires time.Time
}

// Token returns a token of a person as OAuth servers answer it, with its expiry
// as the remote's configuration wants it. Access and refresh token are new.
func (s *Server) Token(user string) string { return s.token(user, s.options.TokenTTL) }

// ExpiredToken is a token whose access token has ended; its refresh token
// works, once.
func (s *Server) ExpiredToken(user string) string { return s.token(user, -time.Hour) }

func (s *Server) token(user string, ttl time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &grant{user: user, scopes: strings.Fields(allScopes), revoked: new(bool)}
	accessToken, refreshToken := s.issue(g, ttl)
	text, _ := json.Marshal(map[string]any{"access_token": accessToken, "refresh_token": refreshToken,
		"token_type": "Bearer", "expiry": s.options.Now().Add(ttl).UTC()})
	return string(text)
}

// Config is the configuration of a remote of type acc that reaches the fake
// through an app of its own, with a new token of a person.
func (s *Server) Config(user string) map[string]string {
	return map[string]string{"type": "acc", "hub_id": s.HubID, "project_id": s.ProjectID, "endpoint": s.URL,
		"client_id": s.options.ClientID, "client_secret": s.options.ClientSecret, "token": s.Token(user)}
}

// Revoke ends every token of a person, as when they withdraw their consent.
func (s *Server) Revoke(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.grants {
		if g.user == user {
			*g.revoked = true
		}
	}
}

// ExpireAccess ends every access token before its time; refresh tokens stay.
func (s *Server) ExpireAccess() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, a := range s.access {
		a.expires = s.options.Now()
		s.access[token] = a
	}
}

// issue makes a new pair of tokens for a grant.
func (s *Server) issue(g *grant, ttl time.Duration) (accessToken, refreshToken string) {
	accessToken, refreshToken = s.id("access-"+g.user+"-"), s.id("refresh-"+g.user+"-")
	s.access[accessToken] = access{grant: g, expires: s.options.Now().Add(ttl)}
	s.grants[refreshToken] = g
	return accessToken, refreshToken
}

// serveToken is the token endpoint, for refreshing only.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	f := s.begin(OpToken)
	if !f.before(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, status := s.refresh(r)
	if f.lost(w) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) refresh(r *http.Request) (map[string]any, int) {
	no := func(status int, code string) (map[string]any, int) {
		return map[string]any{"error": code, "error_description": "refused by the fake"}, status
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.FormValue("grant_type") != "refresh_token" {
		return no(http.StatusBadRequest, "invalid_request")
	}
	id, secret, basic := r.BasicAuth()
	if basic && r.PostForm.Get("client_secret") != "" {
		return no(http.StatusBadRequest, "invalid_request")
	}
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if id != s.options.ClientID || secret != s.options.ClientSecret {
		return no(http.StatusUnauthorized, "invalid_client")
	}
	if s.spend(OpToken, id) != nil {
		return no(http.StatusTooManyRequests, "rate_limited")
	}
	old := r.PostForm.Get("refresh_token")
	g := s.grants[old]
	if g == nil || *g.revoked {
		return no(http.StatusBadRequest, "invalid_grant")
	}
	if g.used {
		s.violations = append(s.violations, fmt.Sprintf("refresh token %s was used twice", old))
		return no(http.StatusBadRequest, "invalid_grant")
	}
	g.used = true
	next := &grant{user: g.user, scopes: g.scopes, revoked: g.revoked}
	accessToken, refreshToken := s.issue(next, s.options.TokenTTL)
	return map[string]any{"access_token": accessToken, "refresh_token": refreshToken, "token_type": "Bearer",
		"expires_in": int(s.options.TokenTTL / time.Second)}, http.StatusOK
}

// authorize checks the bearer token and returns the app it was issued to.
func (s *Server) authorize(r *http.Request, scope string) (string, error) {
	a, ok := s.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	switch {
	case !ok:
		return "", refuse(http.StatusUnauthorized, "AUTH-004", "The access token is invalid.")
	case *a.grant.revoked || !s.options.Now().Before(a.expires):
		return "", refuse(http.StatusUnauthorized, "AUTH-006", "The access token has expired.")
	case !slices.Contains(a.grant.scopes, scope):
		return "", refuse(http.StatusForbidden, "AUTH-010", "Token does not have the privilege for this request.")
	}
	return s.options.ClientID, nil
}
