package interceptor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

// rule is what one method needs of its caller and of its request.
type rule struct {
	level   carillonv1.AccessRule_Level
	objects []object
	// resource is the request's field that holds the resource: paths of
	// violations are relative to it. Nil when the request itself is meant.
	resource protoreflect.FieldDescriptor
	// foreign is set for services that are not ours: their requests are not
	// ours to judge.
	foreign bool
	// optional says that the objects may be left out.
	optional bool
	// changes says that its calls may change something.
	changes bool
	// audited says that its calls are events.
	audited bool
}

// object is where a request names what it acts on.
type object struct {
	kind job.Kind
	path []protoreflect.FieldDescriptor
}

// access is the level on objects; None for rules without objects.
func (r *rule) access() auth.Access {
	switch r.level {
	case carillonv1.AccessRule_READ:
		return auth.Read
	case carillonv1.AccessRule_WRITE:
		return auth.Write
	default:
		return auth.None
	}
}

// mayChange tells whether the level is that of changes.
func (r *rule) mayChange() bool {
	switch r.level {
	case carillonv1.AccessRule_WRITE, carillonv1.AccessRule_INSTANCE_CREATE, carillonv1.AccessRule_OPERATOR:
		return true
	default:
		return false
	}
}

func isGet(method protoreflect.MethodDescriptor) bool {
	http, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	return http.GetGet() != ""
}

// foreign is the rule of the services besides ours: they need no token.
var foreign = rule{level: carillonv1.AccessRule_PUBLIC, foreign: true}

var foreignServices = []string{
	"grpc.health.v1.Health",
	"grpc.reflection.v1.ServerReflection",
	"grpc.reflection.v1alpha.ServerReflection",
}

// find returns the rule of a method such as /carillon.v1.JobService/GetJob, or
// nil when there is none.
func (c *Chain) find(method string) *rule {
	if r := c.rules[method]; r != nil {
		return r
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if slices.Contains(foreignServices, service) {
		return &foreign
	}
	return nil
}

// readRules collects the rules of every method of a proto package by the
// method's full name. The error names all methods whose rule is unusable.
func readRules(files *protoregistry.Files, pkg protoreflect.FullName) (map[string]*rule, error) {
	rules := map[string]*rule{}
	var errs []error
	files.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for k := range service.Methods().Len() {
				method := service.Methods().Get(k)
				r, err := newRule(method)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", method.FullName(), err))
				}
				rules["/"+string(service.FullName())+"/"+string(method.Name())] = r
			}
		}
		return true
	})
	return rules, errors.Join(errs...)
}

func newRule(method protoreflect.MethodDescriptor) (*rule, error) {
	declared, _ := proto.GetExtension(method.Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
	r := &rule{level: declared.GetLevel(), resource: resourceField(method), optional: declared.GetObjectsOptional()}
	r.changes = r.mayChange() && !isGet(method)
	r.audited = declared.GetAudited() || r.changes
	if r.level == carillonv1.AccessRule_LEVEL_UNSPECIFIED {
		return nil, errors.New("has no option carillon.v1.access")
	}
	if onObjects := r.access() != auth.None; onObjects != (len(declared.GetObjects()) > 0) {
		return nil, fmt.Errorf("level %s with %d objects", r.level, len(declared.GetObjects()))
	}
	for _, o := range declared.GetObjects() {
		kind, ok := kinds[o.GetKind()]
		if !ok {
			return nil, fmt.Errorf("unknown kind of object %s", o.GetKind())
		}
		path, err := resolve(method.Input(), o.GetField())
		if err != nil {
			return nil, err
		}
		r.objects = append(r.objects, object{kind: kind, path: path})
	}
	return r, nil
}

var kinds = map[carillonv1.AccessObject_Kind]job.Kind{
	carillonv1.AccessObject_INSTANCE:  job.KindInstance,
	carillonv1.AccessObject_RESOURCE:  job.KindResource,
	carillonv1.AccessObject_JOB:       job.KindJob,
	carillonv1.AccessObject_EXECUTION: job.KindExecution,
	carillonv1.AccessObject_BACKFILL:  job.KindBackfill,
	carillonv1.AccessObject_WEBHOOK:   job.KindWebhook,
	carillonv1.AccessObject_DELIVERY:  job.KindDelivery,
}

// resourceField is the field that REST takes as the body.
func resourceField(method protoreflect.MethodDescriptor) protoreflect.FieldDescriptor {
	http, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	return method.Input().Fields().ByName(protoreflect.Name(http.GetBody()))
}

// resolve finds the fields of a path such as job.id; the last is a string.
func resolve(message protoreflect.MessageDescriptor, path string) ([]protoreflect.FieldDescriptor, error) {
	var fields []protoreflect.FieldDescriptor
	for name := range strings.SplitSeq(path, ".") {
		if message == nil {
			return nil, fmt.Errorf("path %q goes into a field that is no message", path)
		}
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil || field.IsList() || field.IsMap() {
			return nil, fmt.Errorf("path %q: %s has no single field %q", path, message.FullName(), name)
		}
		fields = append(fields, field)
		message = field.Message()
	}
	if last := fields[len(fields)-1]; last.Kind() != protoreflect.StringKind {
		return nil, fmt.Errorf("path %q ends at a field that is no string", path)
	}
	return fields, nil
}

// text reads the identifier from a request; empty when it is not there.
func (o object) text(request protoreflect.Message) string {
	last := len(o.path) - 1
	for _, field := range o.path[:last] {
		request = request.Get(field).Message()
	}
	return request.Get(o.path[last]).String()
}
