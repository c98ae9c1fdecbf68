package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/oidc"
)

// FuzzIssuer reads tokens by whatever documents the issuer has: none of both was
// signed, so nobody gets in.
func FuzzIssuer(f *testing.F) {
	const head = "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiYXQrand0In0" // EdDSA, ed, at+jwt
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, head+".e30.AAAA")
	f.Add(`{"keys":[{"kty":"oct","kid":"ed","k":"AA"},{"kty":"RSA","kid":"ed","n":"AQ","e":"AQAB"}]}`, head+".e30.")
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":""}]}`, head+"..")
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","kid":"ed","x":"AA","y":"AA"}]}`, "..")
	f.Add(`{"keys":{}}`, "a.b.c")
	var keys string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_, _ = w.Write([]byte(keys))
			return
		}
		_, _ = w.Write([]byte(`{"issuer":"http://` + r.Host + `","jwks_uri":"http://` + r.Host + `/keys"}`))
	}))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, document, token string) {
		keys = document
		verifier, err := oidc.New(oidc.Options{Issuer: server.URL, Audience: "carillon", TokenType: oidc.TypeAccessToken, ScopeClaim: "scope", Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := verifier.Verify(t.Context(), token); err == nil {
			t.Errorf("%q lets %+v in by %q", token, p, document)
		}
	})
}
