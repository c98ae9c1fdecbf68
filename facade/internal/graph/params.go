package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"google.golang.org/grpc/codes"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/strictjson"
)

// The media types of an answer.
const (
	jsonMedia    = "application/json"
	graphqlMedia = "application/graphql-response+json"
	eventMedia   = "text/event-stream"
)

// accepted is what a client takes as an answer.
type accepted struct {
	// media is what it likes best for an answer that comes at once: eventMedia
	// only when it takes neither of the others.
	media string
	// events tells whether it takes an answer in parts.
	events bool
}

// negotiate reads what a client accepts; application/json if it has no wish.
// Events are for those that name them, and come by POST only.
func negotiate(r *http.Request) (accepted, error) {
	accept := r.Header.Values("Accept")
	if len(accept) == 0 {
		return accepted{media: jsonMedia}, nil
	}
	var best accepted
	most := 0.0
	for _, item := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		quality := 1.0
		if text, given := params["q"]; given {
			quality, _ = strconv.ParseFloat(text, 64) // else 0: not wanted
		}
		if media == "*/*" || media == "application/*" {
			media = jsonMedia
		}
		switch {
		case media == eventMedia && quality > 0 && r.Method == http.MethodPost:
			best.events = true
		case (media == jsonMedia || media == graphqlMedia) && quality > most:
			best.media, most = media, quality
		}
	}
	if best.media == "" && best.events {
		best.media = eventMedia
	}
	if best.media == "" {
		return accepted{}, notAcceptable("the answer is " + graphqlMedia + " or " + jsonMedia)
	}
	return best, nil
}

func notAcceptable(message string) error {
	return door.Refuse(codes.InvalidArgument, "NOT_ACCEPTABLE", message).WithHTTP(http.StatusNotAcceptable)
}

// readBody reads a request as the body that it has by POST.
func readBody(w http.ResponseWriter, r *http.Request, known func() error) ([]byte, error) {
	switch r.Method {
	case http.MethodGet:
		return readQuery(r.URL.RawQuery)
	case http.MethodPost:
		return door.ReadBody(r, jsonMedia, false, known)
	}
	return nil, door.MethodNotAllowed(w, "GET, POST")
}

func invalidParam(name, reason, description string) error {
	return door.Invalid(door.Violation{Field: name, Reason: reason, Description: description})
}

func readQuery(raw string) ([]byte, error) {
	values, err := url.ParseQuery(raw)
	if err != nil || !utf8.ValidString(values.Get("query")+values.Get("operationName")) {
		return nil, invalidParam("", door.ReasonInvalidValue, "the query of the address is not well formed")
	}
	body := map[string]json.RawMessage{}
	for _, name := range []string{"query", "operationName", "variables", "extensions"} {
		text := values.Get(name)
		switch {
		case !values.Has(name):
			continue
		case len(values[name]) > 1:
			return nil, invalidParam(name, door.ReasonInvalidValue, "is given more than once")
		case name == "query" || name == "operationName":
			body[name], _ = json.Marshal(text) // text always encodes
		case !json.Valid([]byte(text)):
			return nil, invalidParam(name, "MALFORMED_JSON", "must be a JSON object")
		default:
			body[name] = json.RawMessage(text)
		}
	}
	return json.Marshal(body)
}

// readJSON reads the parameters of a request. Others than these are ignored,
// as GraphQL over HTTP says.
func readJSON(body []byte) (*graphql.RawParams, error) {
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) > 0 && first[0] == '[' {
		return nil, invalidParam("", door.ReasonWrongType, "the body must be one request as an object; batches are not taken")
	}
	checked := strictjson.Check(body, strictjson.DefaultMaxDepth)
	var request map[string]json.RawMessage
	if err := json.Unmarshal(body, &request); err != nil {
		if checked != nil {
			return nil, refusedJSON(checked, "")
		}
		return nil, invalidParam("", door.ReasonWrongType, "the body must be an object")
	}
	params := &graphql.RawParams{}
	if len(request["query"]) == 0 && persisted(request["extensions"]) {
		return nil, errNotPersisted
	}
	if !decode(request["query"], &params.Query) || params.Query == "" {
		return nil, invalidParam("query", door.ReasonRequired, "must be the text of a GraphQL document")
	}
	if checked != nil {
		return nil, refusedJSON(checked, params.Query)
	}
	for _, param := range []struct {
		name, wanted string
		into         any
	}{
		{"operationName", "text", &params.OperationName},
		{"variables", "an object", &params.Variables},
		{"extensions", "an object", &params.Extensions},
	} {
		if !decode(request[param.name], param.into) {
			return nil, invalidParam(param.name, door.ReasonWrongType, "must be "+param.wanted)
		}
	}
	return params, nil
}

// errNotPersisted is what clients that send the hash of a query first, as Apollo's
// can, take for a reason to send its text from then on.
var errNotPersisted = door.Refuse(codes.InvalidArgument, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")

func persisted(extensions json.RawMessage) bool {
	var found struct{ PersistedQuery any }
	return decode(extensions, &found) && found.PersistedQuery != nil
}

// decode reads one parameter; absent and null leave it empty.
func decode(raw json.RawMessage, into any) bool {
	if len(raw) == 0 {
		return true
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(into) == nil
}

// refusedJSON names the argument that a refused part of the variables stands
// for, if the query tells it.
func refusedJSON(err error, query string) error {
	var fault *strictjson.Error
	if !errors.As(err, &fault) {
		return err
	}
	path, found := strings.CutPrefix(fault.Path, "variables.")
	if found && checkTokens(query) == nil {
		if document, err := parser.ParseQuery(&ast.Source{Input: query}); err == nil {
			path = argumentPath(document, path)
		}
	}
	return door.Invalid(door.Violation{Field: path, Reason: fault.Reason, Description: fault.Message})
}
