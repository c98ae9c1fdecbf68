package door

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// CallTime ends calls to a service that does not answer; the service's own limit
// is shorter.
const CallTime = 35 * time.Second

const (
	requestIDHeader = "X-Request-Id"
	bearerHeader    = "Authorization"
)

// passed are the headers that reach the service, as metadata of the same name
// in lower case.
var passed = map[string]string{
	bearerHeader:    "authorization",
	requestIDHeader: "x-request-id",
	"Traceparent":   "traceparent",
	"Tracestate":    "tracestate",
}

// Outgoing returns r's context with the metadata for calls on its behalf. Two
// authorizations are refused, since whoever stands in between may have checked
// the other one.
func Outgoing(r *http.Request) (context.Context, error) {
	if len(r.Header.Values(bearerHeader)) > 1 {
		return nil, Refuse(codes.Unauthenticated, "UNAUTHENTICATED", "the request has more than one Authorization")
	}
	md := metadata.MD{}
	for header, key := range passed {
		// A header's text may be anything; metadata is printable ASCII.
		if value := r.Header.Get(header); value != "" && printable(value) {
			md.Set(key, value)
		}
	}
	if client := clientOf(r.Context()); client != "" {
		md.Set("x-forwarded-for", client)
	}
	return metadata.NewOutgoingContext(r.Context(), md), nil
}

func printable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

// Keepable is text that a message can carry and the database keep.
func Keepable(text string) bool {
	return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}
