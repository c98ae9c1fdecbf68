package auth

import (
	"context"
	"fmt"
	"slices"

	"github.com/pointscene/carillon/server/internal/job"
)

// Links knows which instances instance-* stands for.
type Links interface {
	// Linked tells whether the instance is linked to the client now. It is
	// false for identifiers that don't exist.
	Linked(ctx context.Context, clientID, instanceID int64) (bool, error)
	// LinkedInstances lists the instances that are linked to the client now.
	LinkedInstances(ctx context.Context, clientID int64) ([]int64, error)
}

// Authorizer decides what the caller of a context may do. Besides its three
// verdicts (see the package's rules) it returns the errors of Links.
type Authorizer struct{ links Links }

// NewAuthorizer returns an Authorizer that asks links at each call.
func NewAuthorizer(links Links) *Authorizer { return &Authorizer{links: links} }

// Instance checks access to an instance and to the jobs and executions in it.
// For an object that does not exist, exists is false and instanceID is 0 if
// unknown; notFound is what the caller is told then and when the token may not
// read the object.
func (a *Authorizer) Instance(ctx context.Context, instanceID int64, exists bool, access Access, notFound *job.NotFoundError) error {
	p, err := Require(ctx)
	if err != nil {
		return err
	}
	has, err := instanceAccess(ctx, a.links, p.ClientID, p.Scopes, instanceID)
	if err != nil {
		return err
	}
	return verdict(has, exists, access, notFound,
		"the token may read instance %s but not change it: that needs the scope instance-write-%d", job.KindInstance, instanceID)
}

// Resource checks access to a resource of an instance and to its config; the
// rest is as in Instance.
func (a *Authorizer) Resource(ctx context.Context, resourceID, instanceID int64, exists bool, access Access, notFound *job.NotFoundError) error {
	p, err := Require(ctx)
	if err != nil {
		return err
	}
	has, err := instanceAccess(ctx, a.links, p.ClientID, p.Scopes, instanceID)
	if err != nil {
		return err
	}
	has = max(has, p.Scopes.on(job.KindResource, resourceID))
	return verdict(has, exists, access, notFound,
		"the token may read resource %s but not change it: that needs the scope resource-write-%d", job.KindResource, resourceID)
}

// verdict turns the access that the caller has into an answer about an object
// that may be missing.
func verdict(has Access, exists bool, wants Access, notFound *job.NotFoundError, denied string, kind job.Kind, id int64) error {
	switch {
	case !exists || has == None:
		return notFound
	case has < wants:
		return &job.DeniedError{Message: fmt.Sprintf(denied, kind.Format(id), id)}
	default:
		return nil
	}
}

// instanceAccess is the access of scopes to an instance. It asks links
// whether or not the instance exists.
func instanceAccess(ctx context.Context, links Links, clientID int64, scopes Scopes, instanceID int64) (Access, error) {
	if scopes.operator {
		return Write, nil
	}
	has := scopes.on(job.KindInstance, instanceID)
	if has == Write || !scopes.linked || clientID == 0 {
		return has, nil
	}
	linked, err := links.Linked(ctx, clientID, instanceID)
	if err != nil {
		return None, fmt.Errorf("look up the link of client %d to instance %d: %w", clientID, instanceID, err)
	}
	if linked {
		return Write, nil
	}
	return has, nil
}

// Operator lets only callers with the scope operator pass.
func (a *Authorizer) Operator(ctx context.Context) error {
	p, err := Require(ctx)
	if err != nil {
		return err
	}
	if !p.Scopes.operator {
		return &job.DeniedError{Message: "this needs the scope operator"}
	}
	return nil
}

// CreateInstance lets callers pass that may make instances.
func (a *Authorizer) CreateInstance(ctx context.Context) error {
	p, err := Require(ctx)
	if err != nil {
		return err
	}
	if !p.Scopes.operator && !p.Scopes.create {
		return &job.DeniedError{Message: "this needs the scope instance-create"}
	}
	return nil
}

// Instances says to which instances a caller has access.
type Instances struct {
	// All means every instance; IDs is empty then.
	All bool
	// IDs are in order, never nil unless All. Some may not exist.
	IDs []int64
}

// InstancesFor lists the instances that the caller may read, or write.
func (a *Authorizer) InstancesFor(ctx context.Context, access Access) (Instances, error) {
	p, err := Require(ctx)
	if err != nil {
		return Instances{}, err
	}
	if p.Scopes.operator {
		return Instances{All: true}, nil
	}
	ids := []int64{}
	for _, o := range p.Scopes.objects() {
		if o.kind == job.KindInstance && p.Scopes.byID[o] >= access {
			ids = append(ids, o.id)
		}
	}
	if p.Scopes.linked && p.ClientID != 0 {
		linked, err := a.links.LinkedInstances(ctx, p.ClientID)
		if err != nil {
			return Instances{}, fmt.Errorf("list the instances linked to client %d: %w", p.ClientID, err)
		}
		ids = append(ids, linked...)
	}
	slices.Sort(ids)
	return Instances{IDs: slices.Compact(ids)}, nil
}
