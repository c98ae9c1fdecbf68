package rest

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pointscene/carillon/facade/internal/door"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// route is one HTTP rule of a method.
type route struct {
	method  protoreflect.MethodDescriptor
	verb    string
	pattern string
	// whole says that the body is the request itself.
	whole bool
	// body is the field that the body is; nil with whole or without a body.
	body protoreflect.FieldDescriptor
	// params are the fields that stand in the path: job.id.
	params []string
	// level is what the method needs of its caller.
	level carillonv1.AccessRule_Level
	// kind is of the object that the method acts on.
	kind carillonv1.AccessObject_Kind
	// object is the parameter that names it, of the path if it stands there and
	// else of the query; "" for none.
	object string
}

// routes finds a route by what the gateway knows of it.
type routes struct {
	list []*route
	byID map[string]*route
}

var templateParam = regexp.MustCompile(`\{([a-z_.]+)\}`)

// newRoutes reads the HTTP rules of package carillon.v1.
func newRoutes() (*routes, error) {
	all := &routes{byID: map[string]*route{}}
	var failure error
	protoregistry.GlobalFiles.RangeFilesByPackage("carillon.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if failure = all.add(methods.Get(j)); failure != nil {
					return false
				}
			}
		}
		return true
	})
	return all, failure
}

func (all *routes) add(method protoreflect.MethodDescriptor) error {
	rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return nil
	}
	for _, one := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		r := &route{method: method}
		switch {
		case one.GetGet() != "":
			r.verb, r.pattern = http.MethodGet, one.GetGet()
		case one.GetPost() != "":
			r.verb, r.pattern = http.MethodPost, one.GetPost()
		case one.GetPatch() != "":
			r.verb, r.pattern = http.MethodPatch, one.GetPatch()
		case one.GetDelete() != "":
			r.verb, r.pattern = http.MethodDelete, one.GetDelete()
		default:
			return fmt.Errorf("the HTTP rule of %s has a verb that the facade doesn't know", method.FullName())
		}
		if err := r.read(one); err != nil {
			return err
		}
		all.list = append(all.list, r)
		// The gateway writes a parameter as {name=*}.
		all.byID[r.verb+" "+templateParam.ReplaceAllString(r.pattern, "{$1=*}")] = r
	}
	return nil
}

func (r *route) read(rule *annotations.HttpRule) error {
	for _, match := range templateParam.FindAllStringSubmatch(r.pattern, -1) {
		r.params = append(r.params, match[1])
	}
	switch body := rule.GetBody(); body {
	case "":
	case "*":
		r.whole = true
	default:
		r.body = r.method.Input().Fields().ByName(protoreflect.Name(body))
		if r.body == nil {
			return fmt.Errorf("the HTTP rule of %s names the body %q, which the request lacks", r.method.FullName(), body)
		}
	}
	access, _ := proto.GetExtension(r.method.Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
	r.level = access.GetLevel()
	for _, object := range access.GetObjects() {
		if slices.Contains(r.params, object.GetField()) || r.object == "" && len(r.params) == 0 {
			r.kind, r.object = object.GetKind(), object.GetField()
		}
	}
	return nil
}

// need is what the method needs of the caller of a request.
func (r *route) need(request *http.Request, params map[string]string) door.Need {
	need := door.Need{Level: r.level, Kind: r.kind, ID: params[r.object]}
	if field := r.method.Input().Fields().ByName(protoreflect.Name(r.object)); field != nil && need.ID == "" {
		query := request.URL.Query()
		need.ID = cmp.Or(query.Get(field.JSONName()), query.Get(r.object))
	}
	return need
}

// bodyMessage describes what the body must be, nil for none.
func (r *route) bodyMessage() protoreflect.MessageDescriptor {
	switch {
	case r.whole:
		return r.method.Input()
	case r.body != nil:
		return r.body.Message()
	}
	return nil
}

// inBody returns the name that a path parameter has within the body, "" when
// it can't stand there: job.id is id in the body job.
func (r *route) inBody(param string) string {
	switch {
	case r.whole:
		return param
	case r.body != nil:
		if name, found := strings.CutPrefix(param, string(r.body.Name())+"."); found {
			return name
		}
	}
	return ""
}

// allowed lists the verbs of an address.
func (all *routes) allowed(path string) string {
	var verbs []string
	for _, verb := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		for _, r := range all.list {
			if r.verb == verb && r.matches(path) {
				verbs = append(verbs, verb)
				break
			}
		}
	}
	return strings.Join(verbs, ", ")
}

func (r *route) matches(path string) bool {
	want, given := strings.Split(r.pattern, "/"), strings.Split(path, "/")
	if len(want) != len(given) {
		return false
	}
	for i, segment := range want {
		param := templateParam.FindString(segment)
		if param == "" && segment != given[i] || param != "" && actionOf(segment) != actionOf(given[i]) {
			return false
		}
	}
	return true
}

// actionOf is the part of a segment that is no identifier: run of job_1:run.
func actionOf(segment string) string {
	_, action, _ := strings.Cut(segment, ":")
	return action
}
