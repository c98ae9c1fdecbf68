package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

const (
	granted         = "granted"
	missing         = "missing"
	denied          = "denied"
	unauthenticated = "unauthenticated"
)

// verdictOf names an error by its type.
func verdictOf(t *testing.T, err error) string {
	t.Helper()
	var notFound *job.NotFoundError
	var deniedErr *job.DeniedError
	var unauthenticatedErr *job.UnauthenticatedError
	switch {
	case err == nil:
		return granted
	case errors.As(err, &notFound):
		return missing
	case errors.As(err, &deniedErr):
		return denied
	case errors.As(err, &unauthenticatedErr):
		return unauthenticated
	}
	t.Fatalf("unexpected error: %v", err)
	return ""
}

// What tokens of client 3 (linked to instance 5) may do with instances 1, 5 and
// 10 and with resource 7 of instance 5. Verdicts are for read, then write.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	all, readOnly, no := [2]string{granted, granted}, [2]string{granted, denied}, [2]string{missing, missing}
	cases := []struct {
		scope                                       string
		instance1, instance5, instance10, resource7 [2]string
	}{
		{"", no, no, no, no},
		{"operator", all, all, all, all},
		{"instance-*", no, all, no, all},
		{"instance-create", no, no, no, no},
		{"instance-read-1", readOnly, no, no, no},
		{"instance-write-1", all, no, no, no},
		{"instance-read-10", no, no, readOnly, no},
		{"instance-read-5", no, readOnly, no, readOnly},
		{"instance-write-5", no, all, no, all},
		{"instance-read-7", no, no, no, no},
		{"resource-read-7", no, no, no, readOnly},
		{"resource-write-7", no, no, no, all},
		{"resource-write-5 resource-write-1", no, no, no, no},
		{"resource-write-77 resource-write-70", no, no, no, no},
		{"instance-read-5 resource-write-7", no, readOnly, no, all},
		{"instance-write-5 resource-read-7", no, all, no, all},
		{"instance-* instance-read-5", no, all, no, all},
		{"instance-* instance-read-10", no, all, readOnly, all},
	}
	links := &fakeStore{links: map[[2]int64]bool{{3, 5}: true, {4, 1}: true, {0, 10}: true}}
	authorizer := auth.NewAuthorizer(links)
	for _, c := range cases {
		ctx := auth.With(t.Context(), auth.Principal{ClientID: 3, Scopes: scopes(t, c.scope)})
		for i, access := range []auth.Access{auth.Read, auth.Write} {
			for id, want := range map[int64]string{1: c.instance1[i], 5: c.instance5[i], 10: c.instance10[i]} {
				notFound := job.KindInstance.NotFound("x")
				err := authorizer.Instance(ctx, id, true, access, notFound)
				if got := verdictOf(t, err); got != want {
					t.Errorf("%q on instance %d, access %d: %s, want %s", c.scope, id, access, got, want)
				}
				if want == missing && err != error(notFound) { //nolint:errorlint // the very error that was passed in
					t.Errorf("%q: %v, want the caller's not-found error", c.scope, err)
				}
				err = authorizer.Instance(ctx, id, false, access, notFound)
				if err != error(notFound) { //nolint:errorlint // the very error that was passed in
					t.Errorf("%q on instance %d that does not exist: %v", c.scope, id, err)
				}
			}
			got := verdictOf(t, authorizer.Resource(ctx, 7, 5, true, access, job.KindResource.NotFound("res_7")))
			if got != c.resource7[i] {
				t.Errorf("%q on resource 7, access %d: %s, want %s", c.scope, access, got, c.resource7[i])
			}
			got = verdictOf(t, authorizer.Resource(ctx, 7, 0, false, access, job.KindResource.NotFound("res_7")))
			if got != missing {
				t.Errorf("%q on resource 7 that does not exist: %s", c.scope, got)
			}
		}
	}
}

func TestNoPrincipal(t *testing.T) {
	t.Parallel()
	links := &fakeStore{}
	a := auth.NewAuthorizer(links)
	ctx := t.Context()
	_, listErr := a.InstancesFor(ctx, auth.Read)
	for name, err := range map[string]error{
		"instance": a.Instance(ctx, 1, true, auth.Read, job.KindInstance.NotFound("1")),
		"missing":  a.Instance(ctx, 1, false, auth.Read, job.KindInstance.NotFound("1")),
		"resource": a.Resource(ctx, 1, 1, true, auth.Read, job.KindResource.NotFound("1")),
		"operator": a.Operator(ctx), "create": a.CreateInstance(ctx), "list": listErr,
	} {
		if got := verdictOf(t, err); got != unauthenticated {
			t.Errorf("%s: %s", name, got)
		}
	}
	if calls := links.takeCalls(); len(calls) > 0 {
		t.Errorf("the database was asked: %v", calls)
	}
}

// A foreign object and a missing one must not differ in answer or in cost.
func TestForeignAndMissingAreAlike(t *testing.T) {
	t.Parallel()
	links := &fakeStore{links: map[[2]int64]bool{{3, 5}: true}}
	a := auth.NewAuthorizer(links)
	for _, text := range []string{"", "instance-*", "instance-read-5", "instance-* instance-read-5", "resource-read-8", "instance-create"} {
		ctx := auth.With(t.Context(), auth.Principal{ClientID: 3, Scopes: scopes(t, text)})
		for _, access := range []auth.Access{auth.Read, auth.Write} {
			foreign := a.Instance(ctx, 6, true, access, job.KindInstance.NotFound("6"))
			foreignCalls := links.takeCalls()
			absent := a.Instance(ctx, 0, false, access, job.KindInstance.NotFound("6"))
			if diff := cmp.Diff(foreign, absent); diff != "" {
				t.Errorf("%q: instance: %s", text, diff)
			}
			if diff := cmp.Diff(foreignCalls, links.takeCalls()); diff != "" {
				t.Errorf("%q: calls for an instance: %s", text, diff)
			}
			foreign = a.Resource(ctx, 9, 6, true, access, job.KindResource.NotFound("9"))
			foreignCalls = links.takeCalls()
			absent = a.Resource(ctx, 9, 0, false, access, job.KindResource.NotFound("9"))
			if diff := cmp.Diff(foreign, absent); diff != "" {
				t.Errorf("%q: resource: %s", text, diff)
			}
			if diff := cmp.Diff(foreignCalls, links.takeCalls()); diff != "" {
				t.Errorf("%q: calls for a resource: %s", text, diff)
			}
		}
	}
}

func TestLinksAreAskedAtEachCall(t *testing.T) {
	t.Parallel()
	links := &fakeStore{links: map[[2]int64]bool{{3, 5}: true}}
	a := auth.NewAuthorizer(links)
	ctx := auth.With(t.Context(), auth.Principal{ClientID: 3, Scopes: scopes(t, "instance-*")})
	if err := a.Instance(ctx, 5, true, auth.Write, job.KindInstance.NotFound("5")); err != nil {
		t.Fatal(err)
	}
	links.change(func() { clear(links.links) })
	if got := verdictOf(t, a.Instance(ctx, 5, true, auth.Read, job.KindInstance.NotFound("5"))); got != missing {
		t.Errorf("after the link is gone: %s", got)
	}
	broken := errors.New("no database")
	links.change(func() { links.err = broken; links.links[[2]int64{3, 5}] = true })
	if err := a.Instance(ctx, 5, true, auth.Read, job.KindInstance.NotFound("5")); !errors.Is(err, broken) {
		t.Errorf("with a failing look-up: %v", err)
	}
	if err := a.Resource(ctx, 7, 5, true, auth.Read, job.KindResource.NotFound("7")); !errors.Is(err, broken) {
		t.Errorf("with a failing look-up: %v", err)
	}
	if _, err := a.InstancesFor(ctx, auth.Read); !errors.Is(err, broken) {
		t.Errorf("with a failing look-up: %v", err)
	}
}

func TestOperatorAndCreate(t *testing.T) {
	t.Parallel()
	a := auth.NewAuthorizer(&fakeStore{})
	cases := []struct{ scope, operator, create string }{
		{"", denied, denied},
		{"operator", granted, granted},
		{"instance-create", denied, granted},
		{"instance-* instance-write-1 resource-write-1", denied, denied},
	}
	for _, c := range cases {
		ctx := auth.With(t.Context(), auth.Principal{ClientID: 3, Scopes: scopes(t, c.scope)})
		if got := verdictOf(t, a.Operator(ctx)); got != c.operator {
			t.Errorf("%q as operator: %s, want %s", c.scope, got, c.operator)
		}
		if got := verdictOf(t, a.CreateInstance(ctx)); got != c.create {
			t.Errorf("%q creates: %s, want %s", c.scope, got, c.create)
		}
	}
}

func TestInstancesFor(t *testing.T) {
	t.Parallel()
	links := &fakeStore{links: map[[2]int64]bool{{3, 5}: true, {3, 2}: true, {4, 9}: true, {0, 8}: true}}
	a := auth.NewAuthorizer(links)
	cases := []struct {
		scope    string
		clientID int64
		want     auth.Instances
	}{
		{"", 3, auth.Instances{IDs: []int64{}}},
		{"operator", 0, auth.Instances{All: true}},
		{"operator instance-read-1", 3, auth.Instances{All: true}},
		{"instance-*", 3, auth.Instances{IDs: []int64{2, 5}}},
		{"instance-*", 7, auth.Instances{IDs: []int64{}}},
		{"instance-*", 0, auth.Instances{IDs: []int64{}}},
		{"instance-* instance-read-5 instance-write-4", 3, auth.Instances{IDs: []int64{2, 4, 5}}},
		{"instance-read-10 instance-write-1 resource-read-6", 3, auth.Instances{IDs: []int64{1, 10}}},
		{"resource-write-7 instance-create", 3, auth.Instances{IDs: []int64{}}},
	}
	writer := auth.With(t.Context(), auth.Principal{ClientID: 3, Scopes: scopes(t, "instance-* instance-read-1 instance-write-4")})
	got, err := a.InstancesFor(writer, auth.Write)
	if diff := cmp.Diff(auth.Instances{IDs: []int64{2, 4, 5}}, got); err != nil || diff != "" {
		t.Errorf("may write: %v %s", err, diff)
	}
	for _, c := range cases {
		ctx := auth.With(t.Context(), auth.Principal{ClientID: c.clientID, Scopes: scopes(t, c.scope)})
		got, err := a.InstancesFor(ctx, auth.Read)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q of client %d: %s", c.scope, c.clientID, diff)
		}
	}
}

// A token of the command line has no client, so instance-* stands for nothing.
func TestLinkedWithoutClient(t *testing.T) {
	t.Parallel()
	a := auth.NewAuthorizer(&fakeStore{links: map[[2]int64]bool{{0, 5}: true}})
	ctx := auth.With(t.Context(), auth.Principal{Scopes: scopes(t, "instance-*")})
	if got := verdictOf(t, a.Instance(ctx, 5, true, auth.Read, job.KindInstance.NotFound("5"))); got != missing {
		t.Errorf("instance 5: %s", got)
	}
}

func TestDenialsSayWhatIsNeeded(t *testing.T) {
	t.Parallel()
	a := auth.NewAuthorizer(&fakeStore{})
	ctx := auth.With(t.Context(), auth.Principal{ClientID: 3, Scopes: scopes(t, "instance-read-5 resource-read-7")})
	for want, err := range map[string]error{
		"instance-write-5": a.Instance(ctx, 5, true, auth.Write, job.KindInstance.NotFound("5")),
		"resource-write-7": a.Resource(ctx, 7, 6, true, auth.Write, job.KindResource.NotFound("7")),
		"operator":         a.Operator(ctx),
		"instance-create":  a.CreateInstance(ctx),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
