// Package oauth is the HTTP side of the embedded issuer: the token endpoint of
// RFC 6749, the key set of RFC 7517 and the metadata of RFC 8414.
//
// Rules:
//   - Credentials come in the form or by HTTP basic, never both, never in the
//     query; every parameter at most once.
//   - Errors have the shape of RFC 6749, since OAuth clients expect it: the
//     service's reason in lower case. The HTTP status is that of the service's
//     code, so that a throttled client gets 429.
package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/pointscene/carillon/facade/internal/door"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Handler serves the three addresses.
type Handler struct {
	tokens    carillonv1.TokenServiceClient
	publicURL string
}

// New returns a handler whose addresses lie under publicURL.
func New(conn grpc.ClientConnInterface, publicURL string) *Handler {
	return &Handler{tokens: carillonv1.NewTokenServiceClient(conn), publicURL: strings.TrimSuffix(publicURL, "/")}
}

// Token is the token endpoint.
func (h *Handler) Token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Pragma", "no-cache") // RFC 6749, 5.1
	request, err := readGrant(r)
	if err != nil {
		writeError(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(calls(r), door.CallTime)
	defer cancel()
	token, err := h.tokens.IssueToken(ctx, request)
	if err != nil {
		writeError(w, r, err)
		return
	}
	door.WriteJSON(w, http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int32  `json:"expires_in"`
		Scope       string `json:"scope"`
	}{token.GetAccessToken(), token.GetTokenType(), token.GetExpiresIn(), token.GetScope()})
}

// calls is the context of a call without the request's authorization, which is
// for this endpoint alone.
func calls(r *http.Request) context.Context {
	without := r.Clone(r.Context())
	without.Header.Del("Authorization")
	ctx, err := door.Outgoing(without)
	if err != nil { // only for the header that was just removed
		return metadata.NewOutgoingContext(r.Context(), metadata.MD{})
	}
	return ctx
}

func readGrant(r *http.Request) (*carillonv1.IssueTokenRequest, error) {
	body, err := door.ReadBody(r, "application/x-www-form-urlencoded", false, nil)
	if err != nil {
		return nil, err
	}
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("the parameters belong into the body, not into the address")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("the form is not well formed")
	}
	for name, values := range form {
		if len(values) > 1 && known[name] {
			return nil, invalidRequest("the parameter " + name + " is given more than once")
		}
	}
	request := &carillonv1.IssueTokenRequest{
		GrantType: form.Get("grant_type"), ClientId: form.Get("client_id"),
		ClientSecret: form.Get("client_secret"), Scope: form.Get("scope"),
	}
	if err := readBasic(r, request); err != nil {
		return nil, err
	}
	for _, text := range []string{request.GetGrantType(), request.GetClientId(), request.GetClientSecret(), request.GetScope()} {
		if !door.Keepable(text) {
			return nil, invalidRequest("a parameter is not valid text")
		}
	}
	return request, nil
}

// known are the parameters that the endpoint reads; RFC 6749 says to ignore
// others.
var known = map[string]bool{"grant_type": true, "client_id": true, "client_secret": true, "scope": true}

// readBasic takes the credentials from the Authorization header, where they
// are encoded as in a form (RFC 6749, 2.3.1).
func readBasic(r *http.Request, request *carillonv1.IssueTokenRequest) error {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return nil
	}
	user, password, ok := r.BasicAuth()
	id, idErr := url.QueryUnescape(user)
	secret, secretErr := url.QueryUnescape(password)
	switch {
	case len(headers) > 1 || !ok || idErr != nil || secretErr != nil:
		return door.Refuse(codes.Unauthenticated, "INVALID_CLIENT", "the Authorization must be one, and HTTP basic")
	case request.GetClientSecret() != "" || request.GetClientId() != "" && request.GetClientId() != id:
		return invalidRequest("the client's credentials are given twice")
	}
	request.ClientId, request.ClientSecret = id, secret
	return nil
}

func invalidRequest(message string) error {
	return door.Refuse(codes.InvalidArgument, "INVALID_REQUEST", message)
}

// standard are the errors of RFC 6749, 5.2.
var standard = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true,
	"unauthorized_client": true, "unsupported_grant_type": true, "invalid_scope": true,
}

func writeError(w http.ResponseWriter, r *http.Request, err error) {
	fault := door.FaultOf(err)
	door.LogHidden(r.Context(), fault, err)
	name := strings.ToLower(fault.Reason())
	switch {
	case standard[name]:
	case fault.HTTP == http.StatusServiceUnavailable || fault.HTTP == http.StatusTooManyRequests:
		name = "temporarily_unavailable"
	case fault.HTTP < http.StatusInternalServerError:
		name = "invalid_request"
	default:
		name = "server_error"
	}
	if fault.HTTP == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="carillon", charset="UTF-8"`)
	}
	door.SetErrorHeaders(w, r, fault)
	door.WriteJSON(w, fault.HTTP, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{name, plain(fault.Status.Message())})
}

// plain keeps the characters that RFC 6749 allows in a description.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return -1
		}
		return r
	}, text)
}

// Keys answers the public keys that tokens are signed with.
func (h *Handler) Keys(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(calls(r), door.CallTime)
	defer cancel()
	keys, err := h.tokens.GetSigningKeys(ctx, &carillonv1.GetSigningKeysRequest{})
	if err != nil {
		door.WriteError(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(keys.GetJwks())) // the client is gone, which nobody can be told
}

// Metadata tells OAuth clients where everything is.
func (h *Handler) Metadata(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(calls(r), door.CallTime)
	defer cancel()
	keys, err := h.tokens.GetSigningKeys(ctx, &carillonv1.GetSigningKeysRequest{})
	if err != nil {
		door.WriteError(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	door.WriteJSON(w, http.StatusOK, map[string]any{
		"issuer":                                keys.GetIssuer(),
		"token_endpoint":                        h.publicURL + "/oauth2/token",
		"jwks_uri":                              h.publicURL + "/.well-known/jwks.json",
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	})
}
