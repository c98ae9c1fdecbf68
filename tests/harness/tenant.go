package harness

import (
	"context"
	"crypto/rand"
	"testing"
	"time"
)

// Tenant is an instance with one resource, and the operator's ways in.
type Tenant struct {
	*Server
	// Operator may do everything.
	Operator *Caller
	// Instance and Resource are identifiers.
	Instance, Resource string
}

// NewTenant makes one.
func (s *Server) NewTenant(t testing.TB) *Tenant {
	t.Helper()
	return s.As(s.Token(t, "operator")).NewTenant(t)
}

// NewTenant makes one by a caller who may do everything.
func (c *Caller) NewTenant(t testing.TB) *Tenant {
	t.Helper()
	door := c.GRPCDoor()
	instance := Must(t, door, "CreateInstance", Object{"instance": Object{"title": "tenant " + rand.Text()}})
	resource := Must(t, door, "CreateResource", Object{"instanceId": instance["id"], "resource": Object{"title": "site"}})
	return &Tenant{Server: c.server, Operator: c, Instance: Text(instance, "id"), Resource: Text(resource, "id")}
}

// Job is the request for a job with a workflow of the given tasks; fields are
// added to it. It is run by hand unless they say otherwise.
func (n *Tenant) Job(fields Object, tasks ...any) Object {
	job := Object{"frequencyType": "MANUAL", "workflow": Object{"tasks": tasks}}
	for name, value := range fields {
		job[name] = value
	}
	return Object{"instanceId": n.Instance, "job": job}
}

// Create makes such a job and answers its id.
func (n *Tenant) Create(t testing.TB, fields Object, tasks ...any) string {
	t.Helper()
	return Text(Must(t, n.Operator.GRPCDoor(), "CreateJob", n.Job(fields, tasks...)), "id")
}

// Run runs a job and answers the execution's id.
func (n *Tenant) Run(t testing.TB, job string) string {
	t.Helper()
	return Text(Must(t, n.Operator.GRPCDoor(), "RunJob", Object{"jobId": job}), "id")
}

// Noop is a task that does nothing.
func Noop(name string) Object { return Object{"name": name, "type": "util.noop"} }

// Sleep is a task that sleeps.
func Sleep(name string, d time.Duration) Object {
	return Object{"name": name, "type": "util.sleep", "args": Object{"duration": d.String()}}
}

// Get is a task that calls a URL, by POST.
func Get(name, url string) Object {
	return Object{"name": name, "type": "http.request", "args": Object{"url": url, "method": "POST"}}
}

// endLimit is how long an execution may take on a busy machine.
const endLimit = 30 * time.Second

// End waits for the end of an execution and answers it.
func (n *Tenant) End(t testing.TB, execution string) Object {
	t.Helper()
	return n.Reaches(t, execution, func(e Object) bool { return e["finishedAt"] != nil })
}

// Reaches waits until an execution is as wanted.
func (n *Tenant) Reaches(t testing.TB, execution string, wanted func(Object) bool) (last Object) {
	t.Helper()
	if !Within(endLimit, func() bool {
		last = Must(t, n.Operator.GRPCDoor(), "GetExecution", Object{"executionId": execution})
		return wanted(last)
	}) {
		t.Fatalf("after %s the execution is still %v", endLimit, last)
	}
	return last
}

// All reads every page of a list.
func All(ctx context.Context, d Door, rpc, list string, request Object) ([]Object, error) {
	var all []Object
	ask := deepCopy(request)
	ask["pageSize"] = 1000
	for {
		page, err := d.Call(ctx, rpc, ask)
		if err != nil {
			return nil, err
		}
		all = append(all, List(page, list)...)
		if ask["pageToken"] = page["nextPageToken"]; ask["pageToken"] == nil {
			return all, nil
		}
	}
}
