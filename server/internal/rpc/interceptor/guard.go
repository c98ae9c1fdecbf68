package interceptor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/reflect/protoreflect"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// authenticate finds the caller and checks everything that needs no object.
func (c *Chain) authenticate(ctx context.Context, call *call) (context.Context, error) {
	if call.rule = c.find(call.method); call.rule == nil {
		return ctx, &job.DeniedError{Message: "this method does not say who may call it"}
	}
	if call.rule.level == carillonv1.AccessRule_PUBLIC {
		return ctx, nil
	}
	principal, err := c.identify(ctx)
	if err != nil {
		return ctx, err
	}
	call.subject, call.principal = principal.Subject, principal
	ctx = auth.With(ctx, principal)
	return ctx, c.reaches(ctx, call.rule.level)
}

// reaches checks what a level needs besides its object.
func (c *Chain) reaches(ctx context.Context, level carillonv1.AccessRule_Level) error {
	switch level {
	case carillonv1.AccessRule_AUTHENTICATED, carillonv1.AccessRule_READ, carillonv1.AccessRule_WRITE:
		return nil
	case carillonv1.AccessRule_INSTANCE_CREATE:
		return c.Authorizer.CreateInstance(ctx)
	default: // OPERATOR, and levels that this program doesn't know
		return c.Authorizer.Operator(ctx)
	}
}

// CheckAccess says what a call of a level on an object would be told before its
// request is looked at. Without a level or an object any caller will do.
func (c *Chain) CheckAccess(ctx context.Context, level carillonv1.AccessRule_Level, kind carillonv1.AccessObject_Kind, id string) error {
	if level == carillonv1.AccessRule_LEVEL_UNSPECIFIED || level == carillonv1.AccessRule_PUBLIC {
		return nil
	}
	if err := c.reaches(ctx, level); err != nil {
		return err
	}
	access, known := (&rule{level: level}).access(), kinds[kind]
	if access == auth.None || known == "" || id == "" {
		return nil
	}
	_, _, err := c.judge(ctx, known, id, access)
	return err
}

// identify tells who calls. A token comes before a certificate: a program with
// a certificate may call in the name of others.
func (c *Chain) identify(ctx context.Context) (auth.Principal, error) {
	if certificate := shown(ctx); certificate != nil && c.Certificates != nil && len(metadata.ValueFromIncomingContext(ctx, "authorization")) == 0 {
		return c.Certificates.Verify(certificate)
	}
	token, err := bearer(ctx)
	if err != nil {
		return auth.Principal{}, err
	}
	return c.Verifier.Verify(ctx, token)
}

// shown is the caller's certificate, nil unless the handshake has verified one.
func shown(ctx context.Context) *x509.Certificate {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := caller.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

// bearer takes the token from the metadata. Two of them are refused, since
// whoever stands in between may have checked the other one.
func bearer(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	switch {
	case len(values) == 0:
		return "", &job.UnauthenticatedError{Message: "the call needs a bearer token"}
	case len(values) > 1:
		return "", &job.UnauthenticatedError{Message: "the call has more than one authorization"}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &job.UnauthenticatedError{Message: "the authorization must be a bearer token"}
	}
	return token, nil
}

// guard checks the caller's access to the object that the request names.
func (c *Chain) guard(ctx context.Context, call *call, request protoreflect.Message) error {
	access := call.rule.access()
	if access == auth.None {
		return nil
	}
	named, text, err := call.rule.named(request)
	if err != nil && call.rule.optional && text == "" {
		return nil
	}
	if err != nil {
		return err
	}
	instance := int64(0)
	call.object, instance, err = c.judge(ctx, named.kind, text, access)
	call.about(instance, err)
	if err != nil {
		return err
	}
	return c.limitInstance(call, instance)
}

// judge checks the caller's access to an object. The name is "" for an
// identifier that can be nobody's.
func (c *Chain) judge(ctx context.Context, kind job.Kind, text string, access auth.Access) (name string, instance int64, err error) {
	notFound := kind.NotFound(text)
	id, exists := kind.Parse(text)
	if exists {
		name = kind.Format(id)
		instance, err = c.Owners.InstanceOf(ctx, kind, id)
		if exists = !errors.Is(err, store.ErrNotFound); exists && err != nil {
			return name, 0, fmt.Errorf("find the instance of %s: %w", name, err)
		}
	}
	if kind == job.KindResource {
		err = c.Authorizer.Resource(ctx, id, instance, exists, access, notFound)
	} else {
		err = c.Authorizer.Instance(ctx, instance, exists, access, notFound)
	}
	return name, instance, err
}

// named returns the one object that the request names, and its identifier as
// the caller wrote it, which is empty only if the request names none.
func (r *rule) named(request protoreflect.Message) (found object, text string, err error) {
	for _, o := range r.objects {
		candidate := o.text(request)
		if candidate == "" {
			continue
		}
		if text != "" {
			return found, text, job.Invalid(r.jsonPath(o.path), task.ReasonInvalidValue, "must not be given together with %s", r.jsonPath(found.path))
		}
		found, text = o, candidate
	}
	if text != "" {
		return found, text, nil
	}
	var missing job.InvalidError
	for _, o := range r.objects {
		description := "is required"
		if len(r.objects) > 1 {
			description = "is required unless another one is given"
		}
		missing.Add(r.jsonPath(o.path), task.ReasonRequired, "%s", description)
	}
	return found, "", &missing
}

// jsonPath is the path of a field relative to the resource, in JSON names.
func (r *rule) jsonPath(fields []protoreflect.FieldDescriptor) string {
	path := ""
	for i, field := range fields {
		if i == 0 && field == r.resource && len(fields) > 1 {
			continue
		}
		path = job.JoinPath(path, field.JSONName())
	}
	return path
}
