package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type restDoor struct{ *Caller }

// RESTDoor is the REST door: method, path, body and query follow from the
// google.api.http rule of each RPC.
func (c *Caller) RESTDoor() Door { return restDoor{c} }

func (restDoor) Name() string { return "rest" }

func (restDoor) Offers(rpc string) bool {
	method := Methods()[rpc]
	return method != nil && proto.HasExtension(method.Options(), annotations.E_Http)
}

func (d restDoor) Call(ctx context.Context, rpc string, request Object) (Object, error) {
	method, err := methodOf(rpc)
	if err != nil {
		return nil, err
	}
	verb, path, body, err := RESTRequest(method, request)
	if err != nil {
		return nil, err
	}
	answer, err := d.HTTP(ctx, verb, path, body)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, refusalOfREST(answer)
	}
	if method.IsStreamingServer() {
		return linesOf(answer.Body)
	}
	value, err := answer.JSON()
	return canonicalObject(value), err
}

var variable = regexp.MustCompile(`\{([a-z_.]+)\}`)

// RESTRequest is how REST writes a request of a method.
func RESTRequest(method protoreflect.MethodDescriptor, request Object) (verb, path, body string, err error) {
	rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return "", "", "", fmt.Errorf("%s has no REST route", method.Name())
	}
	for _, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		verb, pattern := route(binding)
		rest := deepCopy(request)
		path, ok := fillPath(pattern, rest)
		if !ok {
			continue
		}
		body, err := takeBody(binding.GetBody(), rest)
		if err != nil {
			return "", "", "", err
		}
		if query := queryOf(rest); query != "" {
			path += "?" + query
		}
		return verb, path, body, nil
	}
	return "", "", "", fmt.Errorf("no route of %s takes %v", method.Name(), request)
}

func route(rule *annotations.HttpRule) (verb, pattern string) {
	switch {
	case rule.GetGet() != "":
		return http.MethodGet, rule.GetGet()
	case rule.GetPost() != "":
		return http.MethodPost, rule.GetPost()
	case rule.GetPatch() != "":
		return http.MethodPatch, rule.GetPatch()
	}
	return http.MethodDelete, rule.GetDelete()
}

// fillPath writes the path and takes its variables out of the request.
func fillPath(pattern string, request Object) (path string, ok bool) {
	ok = true
	path = variable.ReplaceAllStringFunc(pattern, func(text string) string {
		object := request
		steps := strings.Split(strings.Trim(text, "{}"), ".")
		for _, step := range steps[:len(steps)-1] {
			object, _ = object[jsonName(step)].(Object)
		}
		name := jsonName(steps[len(steps)-1])
		value, there := object[name]
		if !there || value == "" {
			ok = false
			return text
		}
		delete(object, name)
		return url.PathEscape(fmt.Sprint(value))
	})
	return path, ok
}

// takeBody writes the body and takes what it holds out of the request.
func takeBody(field string, request Object) (string, error) {
	var value any
	switch field {
	case "":
		return "", nil
	case "*":
		value = maps.Clone(request)
		clear(request)
	default:
		value = request[jsonName(field)]
		delete(request, jsonName(field))
	}
	text, err := json.Marshal(value)
	return string(text), err
}

func queryOf(request Object) string {
	values := url.Values{}
	for name, value := range request {
		values.Set(name, fmt.Sprint(value))
	}
	return values.Encode()
}

// jsonName is instanceId for instance_id.
func jsonName(field string) string {
	words := strings.Split(field, "_")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

func deepCopy(object Object) Object {
	out := make(Object, len(object))
	for key, value := range object {
		if inner, ok := value.(Object); ok {
			value = deepCopy(inner)
		}
		out[key] = value
	}
	return out
}

// linesOf reads lines of JSON.
func linesOf(body []byte) (Object, error) {
	lines := []any{}
	for scanner := bufio.NewScanner(bytes.NewReader(body)); scanner.Scan(); {
		line, err := Answer{Body: scanner.Bytes()}.JSON()
		if err != nil {
			return nil, err
		}
		lines = append(lines, Canonical(line))
	}
	return Object{"lines": lines}, nil
}

// refusalOfREST reads an error and checks that its parts agree.
func refusalOfREST(answer Answer) error {
	var body struct {
		Error struct {
			Code            int
			Status, Message string
			Details         []struct {
				Type            string `json:"@type"`
				Reason          string
				Domain          string
				FieldViolations []struct{ Field, Reason string }
			}
		}
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		return fmt.Errorf("the answer %d is no error of ours: %.200q", answer.Status, answer.Body)
	}
	e := body.Error
	refusal := &Refusal{Code: e.Status, Message: e.Message}
	for _, detail := range e.Details {
		switch detail.Type {
		case "type.googleapis.com/google.rpc.ErrorInfo":
			refusal.Reason = detail.Reason
		case "type.googleapis.com/google.rpc.BadRequest":
			for _, v := range detail.FieldViolations {
				refusal.Violations = append(refusal.Violations, v.Field+"="+v.Reason)
			}
		}
	}
	switch {
	case e.Code != answer.Status:
		return fmt.Errorf("HTTP says %d and the error %d: %s", answer.Status, e.Code, answer.Body)
	case refusal.Reason == "" || refusal.Code == "":
		return errors.New("an error without status or ErrorInfo: " + string(answer.Body))
	case answer.Status == http.StatusUnauthorized && answer.Header.Get("WWW-Authenticate") == "":
		return errors.New("401 without WWW-Authenticate")
	}
	return refusal
}
