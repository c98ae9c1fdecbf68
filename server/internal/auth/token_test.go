package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

func (b *bundle) clientToken(t testing.TB, scope string) auth.Token {
	t.Helper()
	token, err := b.issuer.ForClient(t.Context(), b.client, scopes(t, scope), auth.DefaultTTL)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenOfAClient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token := b.clientToken(t, "instance-read-inst_1 instance-*")
	p, err := b.verifier.Verify(t.Context(), token.Text.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if p.ClientID != 3 || p.Subject != "client_3" || p.TokenID != token.ID || p.Scopes.String() != "instance-* instance-read-1" {
		t.Errorf("principal %+v", p)
	}
	if want := b.clock.Now().Add(auth.DefaultTTL).Truncate(time.Second); !token.ExpiresAt.Equal(want) {
		t.Errorf("expires %s, want %s", token.ExpiresAt, want)
	}
}

func TestWhatATokenHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	parts := strings.Split(b.clientToken(t, "instance-read-1").Text.Reveal(), ".")
	id, _ := b.key(t, "token")
	now := float64(b.clock.Now().Unix())
	for i, want := range []map[string]any{
		{"alg": "EdDSA", "kid": id, "typ": "at+jwt"},
		{
			"iss": identity.Issuer, "aud": identity.Audience, "sub": "client_3", "client_id": "client_3", "scope": "instance-read-1",
			"iat": now, "nbf": now, "exp": now + 14399, "sv": 2.0,
		},
	} {
		var got map[string]any
		decoded, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(decoded, &got); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if jti, _ := got["jti"].(string); len(jti) < 20 {
				t.Errorf("jti %q is not random enough", jti)
			}
			delete(got, "jti")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTokenOfTheOperator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token, err := b.issuer.ForOperator(t.Context(), scopes(t, "operator"), 4*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.store.takeCalls()
	p, err := b.verifier.Verify(t.Context(), token.Text.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if p.ClientID != 0 || p.Subject != "operator" || !p.Scopes.Operator() {
		t.Errorf("principal %+v", p)
	}
}

func TestTokensDoNotPrint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token := b.clientToken(t, "operator")
	if printed := fmt.Sprintf("%v %+v %#v", token, token, token); strings.Contains(printed, "eyJ") {
		t.Errorf("printed: %s", printed)
	}
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, ttl := range []time.Duration{-time.Hour, 0, time.Millisecond, auth.MaxTTL + 1} {
		if _, err := b.issuer.ForOperator(t.Context(), scopes(t, "operator"), ttl); err == nil {
			t.Errorf("a token that lives %s", ttl)
		}
	}
	token, err := b.issuer.ForOperator(t.Context(), scopes(t, "operator"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		after time.Duration
		want  string
	}{{0, granted}, {59 * time.Second, granted}, {time.Second, unauthenticated}, {time.Hour, unauthenticated}}
	for _, step := range steps {
		b.clock.advance(step.after)
		_, err := b.verifier.Verify(t.Context(), token.Text.Reveal())
		if got := verdictOf(t, err); got != step.want {
			t.Errorf("%s later: %s, want %s", step.after, got, step.want)
		}
		if err != nil && !strings.Contains(err.Error(), "expired") {
			t.Errorf("the reason is not told: %v", err)
		}
	}
}

// The clock of another replica may be up to a minute ahead of ours.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for skew, want := range map[time.Duration]string{60 * time.Second: granted, 62 * time.Second: unauthenticated} {
		ahead := func() time.Time { return b.clock.Now().Add(skew) }
		token, err := auth.NewIssuer(b.keys, identity, ahead).ForOperator(t.Context(), scopes(t, "operator"), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if got := verdictOf(t, second(b.verifier.Verify(t.Context(), token.Text.Reveal()))); got != want {
			t.Errorf("%s ahead: %s, want %s", skew, got, want)
		}
	}
}

func TestTokensDieWithTheirClientOrSecret(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *bundle){
		"deleted": func(b *bundle) { delete(b.store.clients, 3) },
		"reset": func(b *bundle) {
			client := b.client
			client.SecretVersion++
			b.store.clients[3] = client
		},
		"older secret than known": func(b *bundle) { b.store.clients[3] = job.Client{ID: 3, SecretVersion: 1} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			token := b.clientToken(t, "operator").Text.Reveal()
			if _, err := b.verifier.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			b.store.change(func() { change(b) })
			_, err := b.verifier.Verify(t.Context(), token)
			if got := verdictOf(t, err); got != unauthenticated || !strings.Contains(err.Error(), "revoked") {
				t.Errorf("%s: %v", got, err)
			}
		})
	}
}
