package server

import (
	"fmt"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/oidc"
	"github.com/pointscene/carillon/server/internal/rpc"
	"github.com/pointscene/carillon/server/internal/rpc/interceptor"
)

// checkOIDC refuses an outside issuer that could not be trusted.
func (c *Config) checkOIDC(wrong func(flag, format string, args ...any)) {
	if c.OIDCIssuer == "" {
		if c.OIDCAudience != "" || len(c.OIDCScopeMap) > 0 {
			wrong("oidc-audience, --oidc-scope-map", "need --oidc-issuer")
		}
		return
	}
	if err := oidc.CheckURL(c.OIDCIssuer); err != nil {
		wrong("oidc-issuer", "%v", err)
	}
	if c.OIDCAudience == "" {
		wrong("oidc-audience", "is needed with --oidc-issuer: without it, tokens for any other service would do")
	}
	if c.OIDCTokenType != oidc.TypeAccessToken && c.OIDCTokenType != oidc.TypeJWT {
		wrong("oidc-token-type", "%q is neither %s nor %s", c.OIDCTokenType, oidc.TypeAccessToken, oidc.TypeJWT)
	}
	if c.OIDCScopeClaim == "" {
		wrong("oidc-scope-claim", "must not be empty")
	}
	if _, err := c.outsideVerifier(); err != nil {
		wrong("oidc-scope-map", "%v", err)
	}
	if c.Demo {
		wrong("demo", "needs the embedded issuer; leave --oidc-issuer out")
	}
}

func (c *Config) outsideVerifier() (*oidc.Verifier, error) {
	return oidc.New(oidc.Options{
		Issuer: c.OIDCIssuer, Audience: c.OIDCAudience, TokenType: c.OIDCTokenType,
		ScopeClaim: c.OIDCScopeClaim, ScopeMap: c.OIDCScopeMap, Now: now,
	})
}

// issuing is who issues tokens and who judges them.
type issuing struct {
	verifier  interceptor.Verifier
	exchanger rpc.Exchanger
	keys      rpc.PublicKeys
	issuer    string
}

// openIdentity is the embedded issuer, or the outside one in its place.
func (s *Server) openIdentity() (issuing, error) {
	if s.c.OIDCIssuer == "" {
		return issuing{
			verifier: auth.NewVerifier(s.keys, s.store, s.identity(), now), exchanger: auth.NewExchanger(s.store, s.store, s.issuer, now),
			keys: s.keys, issuer: s.identity().Issuer,
		}, nil
	}
	verifier, err := s.c.outsideVerifier()
	if err != nil {
		return issuing{}, fmt.Errorf("--oidc-scope-map: %w", err)
	}
	outside := auth.Outside{Issuer: s.c.OIDCIssuer}
	return issuing{verifier: verifier, exchanger: outside, keys: outside, issuer: s.c.OIDCIssuer}, nil
}
