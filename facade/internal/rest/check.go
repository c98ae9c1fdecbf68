package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/strictjson"
)

// readBody reads the body of a request, which must have none unless the route
// has. known tells whether the caller may send a large one.
func (r *route) readBody(req *http.Request, known func() error) ([]byte, error) {
	if r.bodyMessage() == nil {
		return nil, noBody(req)
	}
	return door.ReadBody(req, "application/json", true, known)
}

// check returns the request as the gateway takes it: it refuses what is wrong
// and rewrites the body and the query.
func (r *route) check(req *http.Request, raw []byte, params map[string]string) (*http.Request, error) {
	query, violations := r.query(req.URL.RawQuery)
	for _, name := range r.params {
		if !door.Keepable(params[name]) {
			violations = append(violations, door.Violation{
				Field: name, Reason: door.ReasonInvalidText, Description: "must be valid UTF-8 without NUL characters",
			})
		}
	}
	if len(violations) > 0 {
		return nil, door.Invalid(violations...)
	}
	message := r.bodyMessage()
	if message == nil {
		return rewritten(req, query.Encode(), nil), nil
	}
	object, err := readObject(message, raw)
	if err != nil {
		return nil, err
	}
	var c checker
	c.message(message, object, "")
	r.dropParams(&c, object, params)
	if len(c.violations) > 0 {
		return nil, door.Invalid(c.violations...)
	}
	if r.verb == http.MethodPatch {
		dropOutput(message, object)
		if query.Get("updateMask") == "" && query.Get("update_mask") == "" {
			if mask := presentFields(message, object); mask != "" {
				query.Set("updateMask", mask)
			}
		}
	}
	body, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return rewritten(req, query.Encode(), body), nil
}

// readObject reads a body that must be a JSON object; none at all is {}. Free-form
// objects, which may be large, stay text.
func readObject(message protoreflect.MessageDescriptor, raw []byte) (map[string]any, error) {
	object := map[string]any{}
	if len(raw) == 0 {
		return object, nil
	}
	if err := strictjson.Check(raw, strictjson.DefaultMaxDepth); err != nil {
		return nil, refused(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, door.Invalid(door.Violation{Reason: door.ReasonWrongType, Description: "the body must be a JSON object"})
	}
	for name, text := range members {
		if field := fieldNamed(message, name); field != nil && isStruct(field) && text[0] == '{' {
			object[name] = text
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		object[name] = value
	}
	return object, nil
}

// refused tells what is wrong with the raw text.
func refused(err error) error {
	var fault *strictjson.Error
	if !errors.As(err, &fault) {
		return err
	}
	return door.Invalid(door.Violation{Field: fault.Path, Reason: fault.Reason, Description: fault.Message})
}

// noBody refuses a body that nothing would read, such as the etag of a DELETE.
func noBody(req *http.Request) error {
	if n, _ := io.ReadFull(req.Body, make([]byte, 1)); n > 0 {
		return door.Invalid(door.Violation{Reason: door.ReasonInvalidValue,
			Description: "this call takes no body; its parameters stand in the query"})
	}
	return nil
}

// dropParams takes fields out of the body that stand in the path as well. What
// differs there is refused, since one of the two is a mistake.
func (r *route) dropParams(c *checker, object map[string]any, params map[string]string) {
	for _, param := range r.params {
		name := r.inBody(param)
		if name == "" {
			continue
		}
		field := r.bodyMessage().Fields().ByName(protoreflect.Name(name))
		for _, key := range []string{field.JSONName(), field.TextName()} {
			if value, ok := object[key].(string); ok {
				if !sameID(value, params[param]) {
					c.refuse(key, door.ReasonInvalidValue, "must be the one in the address, or absent")
				}
				delete(object, key)
			}
		}
	}
}

// sameID compares identifiers of one kind; the prefix may be missing.
func sameID(a, b string) bool {
	return a == b || strings.HasSuffix(a, "_"+b) || strings.HasSuffix(b, "_"+a)
}

// dropOutput takes out what only the service sets.
func dropOutput(message protoreflect.MessageDescriptor, object map[string]any) {
	for key := range object {
		if behaves(fieldNamed(message, key), annotations.FieldBehavior_OUTPUT_ONLY) {
			delete(object, key)
		}
	}
}

// presentFields is the mask of what a PATCH wants to change: whole fields. The
// etag and what can't change are conditions.
func presentFields(message protoreflect.MessageDescriptor, object map[string]any) string {
	var mask []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		_, byJSON := object[field.JSONName()]
		_, byText := object[field.TextName()]
		if (byJSON || byText) && field.Name() != "etag" && !behaves(field, annotations.FieldBehavior_IMMUTABLE) {
			mask = append(mask, string(field.Name()))
		}
	}
	return strings.Join(mask, ",")
}

func behaves(field protoreflect.FieldDescriptor, how annotations.FieldBehavior) bool {
	behaviors, _ := proto.GetExtension(field.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviors, how)
}

// rewritten is the request with another query and body.
func rewritten(req *http.Request, query string, body []byte) *http.Request {
	copied := *req
	address := *req.URL
	address.RawQuery = query
	copied.URL = &address
	copied.Body = io.NopCloser(bytes.NewReader(body))
	copied.ContentLength = int64(len(body))
	return &copied
}
