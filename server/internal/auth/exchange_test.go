package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
)

func (b *bundle) request(scope string) auth.Request {
	return auth.Request{GrantType: "client_credentials", ClientID: "client_3", ClientSecret: b.secret, Scope: scope}
}

// refusal returns err as an OAuthError.
func refusal(t *testing.T, err error) *auth.OAuthError {
	t.Helper()
	var refused *auth.OAuthError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v, want an *auth.OAuthError", err)
	}
	return refused
}

func TestExchange(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"client_3", "3"} {
		b := setup(t)
		request := b.request("instance-read-5 resource-read-7")
		request.ClientID = id
		response, err := b.exchanger.Exchange(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if response.ExpiresIn != 14399 || response.Scope != "instance-read-5 resource-read-7" {
			t.Errorf("response %+v", response)
		}
		p, err := b.verifier.Verify(t.Context(), response.AccessToken.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if p.ClientID != 3 || p.Scopes.String() != response.Scope {
			t.Errorf("principal %+v", p)
		}
	}
}

// Client 3 has instance-*, instance-create, instance-write-10, instance-read-1
// and resource-read-7, and is linked to instance 5.
func TestExchangeScopes(t *testing.T) {
	t.Parallel()
	all := "instance-* instance-create instance-read-1 instance-write-10 resource-read-7"
	cases := []struct{ allowed, asked, want string }{
		{"", "", all},
		{"", "  ", all},
		{"", all, all},
		{"", "instance-*", "instance-*"},
		{"", "instance-create", "instance-create"},
		{"", "instance-write-10", "instance-write-10"},
		{"", "instance-read-inst_10", "instance-read-10"},
		{"", "instance-read-1", "instance-read-1"},
		{"", "instance-write-1", "invalid_scope"},
		{"", "instance-write-5", "instance-write-5"},
		{"", "instance-read-5", "instance-read-5"},
		{"", "instance-read-6", "invalid_scope"},
		{"", "instance-read-100", "invalid_scope"},
		{"", "resource-read-7", "resource-read-7"},
		{"", "resource-write-7", "invalid_scope"},
		{"", "resource-read-5", "invalid_scope"},
		{"", "operator", "invalid_scope"},
		{"", "instance-read-5 operator", "invalid_scope"},
		{"", "nonsense", "invalid_scope"},
		{"", "instance-read-1 nonsense", "invalid_scope"},
		{"operator", "", "operator"},
		{"operator", "operator", "operator"},
		{"operator", "instance-write-99 resource-write-99 instance-create instance-*",
			"instance-* instance-create instance-write-99 resource-write-99"},
		{"instance-read-5", "instance-*", "invalid_scope"},
		{"instance-read-5", "instance-write-5", "invalid_scope"},
		{"instance-write-5", "instance-create", "invalid_scope"},
		{"instance-create", "instance-read-5", "invalid_scope"},
	}
	b := setup(t)
	for _, c := range cases {
		client := b.client
		if c.allowed != "" {
			client.Scopes = []string{c.allowed}
		}
		b.store.change(func() { b.store.clients[3] = client })
		response, err := b.exchanger.Exchange(t.Context(), b.request(c.asked))
		got := response.Scope
		if err != nil {
			got = refusal(t, err).Code
		}
		if got != c.want {
			t.Errorf("%q of %q: %q, want %q", c.asked, c.allowed, got, c.want)
		}
	}
}

func TestGrantTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cases := []struct{ grant, code, says string }{
		{"", "invalid_request", "client_credentials"},
		{"password", "unsupported_grant_type", "outside OpenID Connect issuer"},
		{"refresh_token", "unsupported_grant_type", "outside OpenID Connect issuer"},
		{"authorization_code", "unsupported_grant_type", "client_credentials"},
		{"CLIENT_CREDENTIALS", "unsupported_grant_type", "client_credentials"},
		{"urn:ietf:params:oauth:grant-type:jwt-bearer", "unsupported_grant_type", "client_credentials"},
	}
	for _, c := range cases {
		request := b.request("")
		request.GrantType = c.grant
		refused := refusal(t, second(b.exchanger.Exchange(t.Context(), request)))
		if refused.Code != c.code || !strings.Contains(refused.Description, c.says) {
			t.Errorf("%q: %+v", c.grant, refused)
		}
	}
	if calls := b.store.takeCalls(); len(calls) > 0 {
		t.Errorf("the database was asked: %v", calls)
	}
}

// An unknown client and a wrong secret answer the same, ask the same, and are
// throttled the same.
func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	right := setup(t).secret.Reveal()
	for name, change := range map[string]func(r *auth.Request){
		"wrong secret":         func(r *auth.Request) { r.ClientSecret = seal.NewSecret("cs_wrong") },
		"another's secret":     func(r *auth.Request) { r.ClientSecret = seal.NewSecret(right) },
		"longer secret":        func(r *auth.Request) { r.ClientSecret = seal.NewSecret(r.ClientSecret.Reveal() + "x") },
		"cut secret":           func(r *auth.Request) { r.ClientSecret = seal.NewSecret(r.ClientSecret.Reveal()[:20]) },
		"no secret":            func(r *auth.Request) { r.ClientSecret = seal.Secret{} },
		"unknown client":       func(r *auth.Request) { r.ClientID = "client_4" },
		"no client":            func(r *auth.Request) { r.ClientID = "" },
		"client of other kind": func(r *auth.Request) { r.ClientID = "inst_3" },
		"client zero":          func(r *auth.Request) { r.ClientID = "client_0" },
		"client without hash":  func(r *auth.Request) { r.ClientID, r.ClientSecret = "client_8", seal.Secret{} },
		"client with no bytes": func(r *auth.Request) { r.ClientID = "client_9" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.store.clients[8] = job.Client{ID: 8}
			b.store.clients[9] = job.Client{ID: 9, SecretHash: make([]byte, 32)}
			request := b.request("nonsense")
			change(&request)
			want := &auth.OAuthError{Code: "invalid_client", Description: "the client is unknown or the secret is wrong"}
			for range 10 {
				refused := refusal(t, second(b.exchanger.Exchange(t.Context(), request)))
				if diff := cmp.Diff(want, refused); diff != "" {
					t.Fatal(diff)
				}
				if calls := b.store.takeCalls(); len(calls) != 1 || !strings.HasPrefix(calls[0], "Client ") {
					t.Fatalf("calls %v, want one", calls)
				}
			}
			refused := refusal(t, second(b.exchanger.Exchange(t.Context(), request)))
			if refused.Code != "invalid_client" || refused.RetryAfter != 6*time.Second {
				t.Errorf("the eleventh failure: %+v", refused)
			}
			b.clock.advance(refused.RetryAfter)
			if refused := refusal(t, second(b.exchanger.Exchange(t.Context(), request))); refused.RetryAfter != 0 {
				t.Errorf("after the wait: %+v", refused)
			}
		})
	}
}

// Failures of a stranger must not lock the client out, nor touch others.
func TestThrottleSparesTheRightSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong := b.request("")
	wrong.ClientSecret = seal.NewSecret("cs_wrong")
	for range 50 {
		refusal(t, second(b.exchanger.Exchange(t.Context(), wrong)))
	}
	if _, err := b.exchanger.Exchange(t.Context(), b.request("")); err != nil {
		t.Errorf("the right secret: %v", err)
	}
	wrong.ClientID = "client_4"
	if refused := refusal(t, second(b.exchanger.Exchange(t.Context(), wrong))); refused.RetryAfter != 0 {
		t.Errorf("another client: %+v", refused)
	}
}

func TestExchangeWithoutDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	broken := errors.New("no database")
	b.store.change(func() { b.store.err = broken })
	var refused *auth.OAuthError
	if _, err := b.exchanger.Exchange(t.Context(), b.request("")); !errors.Is(err, broken) || errors.As(err, &refused) {
		t.Errorf("error %v, want the store's", err)
	}
}

func TestStoredScopesThatAreWrong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.client.Scopes = []string{"operator", "nonsense"}
	b.store.clients[3] = b.client
	var refused *auth.OAuthError
	if _, err := b.exchanger.Exchange(t.Context(), b.request("")); err == nil || errors.As(err, &refused) {
		t.Errorf("error %v, want one that is not the caller's", err)
	}
}

// RFC 6749 allows few characters in a description.
func TestDescriptionsKeepToTheirAlphabet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, scope := range []string{"a\"b\\c\x7f\n", "é\xff", "\x00", strings.Repeat("x", 9000)} {
		refused := refusal(t, second(b.exchanger.Exchange(t.Context(), b.request(scope))))
		for _, r := range refused.Description {
			if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
				t.Errorf("%q has %q", refused.Description, r)
			}
		}
		if len(refused.Description) > 500 {
			t.Errorf("a description of %d bytes", len(refused.Description))
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		secret, hash := auth.NewSecret()
		text := secret.Reveal()
		if !strings.HasPrefix(text, "cs_") || len(text) != len("cs_")+43 || len(hash) != 32 || seen[text] {
			t.Fatalf("a secret of %d bytes, a hash of %d, seen before: %t", len(text), len(hash), seen[text])
		}
		seen[text] = true
	}
	b := setup(t)
	response, err := b.exchanger.Exchange(t.Context(), b.request(""))
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%+v %#v %+v", b.request(""), b.request(""), response)
	if strings.Contains(printed, b.secret.Reveal()) || strings.Contains(printed, response.AccessToken.Reveal()) {
		t.Errorf("printed: %s", printed)
	}
}
