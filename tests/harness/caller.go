package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Caller calls one server with one token.
type Caller struct {
	server *Server
	// Token is sent as bearer; empty sends no Authorization.
	Token string

	http *http.Client
	grpc func() (*grpc.ClientConn, error)
}

// callLimit ends a call whose server does not answer.
const callLimit = 40 * time.Second

// As is a caller with a token.
func (s *Server) As(token string) *Caller {
	if s.options.Roots != nil {
		return s.AsCertificate(token)
	}
	return &Caller{
		server: s, Token: token,
		http: &http.Client{Timeout: callLimit},
		grpc: sync.OnceValues(func() (*grpc.ClientConn, error) {
			return grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
		}),
	}
}

// AsCertificate is a caller of a server that speaks TLS, who shows client
// certificates on every door.
func (s *Server) AsCertificate(token string, shown ...tls.Certificate) *Caller {
	config := &tls.Config{RootCAs: s.options.Roots, Certificates: shown, MinVersion: tls.VersionTLS12}
	return &Caller{
		server: s, Token: token,
		http: &http.Client{Timeout: callLimit, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}},
		grpc: sync.OnceValues(func() (*grpc.ClientConn, error) {
			return grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(credentials.NewTLS(config)))
		}),
	}
}

// Answer is what the HTTP door answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the body into a value that keeps numbers as they were written.
func (a Answer) JSON() (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("the answer %d is no JSON: %w: %.200q", a.Status, err, a.Body)
	}
	return value, nil
}

// HTTP calls the HTTP door. A body is sent as JSON unless a header says
// otherwise; headers come in pairs of name and value.
func (c *Caller) HTTP(ctx context.Context, method, path, body string, headers ...string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server.URL(path), strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return Answer{Status: response.StatusCode, Header: response.Header, Body: text}, err
}

// GraphQL sends a query with variables, nil for none, and answers data and
// errors as they came.
func (c *Caller) GraphQL(ctx context.Context, query string, variables map[string]any) (Answer, error) {
	body, err := json.Marshal(struct {
		Query     string         `json:"query"`
		Variables map[string]any `json:"variables,omitempty"`
	}{query, variables})
	if err != nil {
		return Answer{}, err
	}
	return c.HTTP(ctx, http.MethodPost, "/graphql", string(body))
}

// Conn is the connection with the gRPC door, for calls with the context of
// Outgoing. It is never closed: it ends with the server.
func (c *Caller) Conn() (*grpc.ClientConn, error) { return c.grpc() }

// Outgoing is a context whose gRPC calls carry the token.
func (c *Caller) Outgoing(ctx context.Context) context.Context {
	if c.Token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.Token)
}
