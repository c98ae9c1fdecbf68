package rpc_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// client makes a client and answers it with its secret.
func (b *bundle) client(scopes []string, instances ...string) *carillonv1.Client {
	b.t.Helper()
	return must(b.instances.CreateClient(b.operator, &carillonv1.CreateClientRequest{
		Client: &carillonv1.Client{Title: "test", Scopes: scopes, InstanceIds: instances},
	}))(b.t)
}

// token asks for a client's token.
func (b *bundle) token(c *carillonv1.Client, scope string) (*carillonv1.IssueTokenResponse, error) {
	return b.tokens.IssueToken(b.t.Context(), &carillonv1.IssueTokenRequest{
		GrantType: "client_credentials", ClientId: c.GetId(), ClientSecret: c.GetClientSecret(), Scope: scope,
	})
}

// signIn is a context with all that a client may do.
func (b *bundle) signIn(c *carillonv1.Client) context.Context {
	b.t.Helper()
	return bearer(b.t.Context(), must(b.token(c, ""))(b.t).GetAccessToken())
}

func TestInstancesAndResources(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := &carillonv1.Instance{Title: "Tenant", Description: "of many"}
	wouldBe := must(b.instances.CreateInstance(b.operator, &carillonv1.CreateInstanceRequest{Instance: asked, ValidateOnly: true}))(t)
	if wouldBe.GetId() != "" || wouldBe.GetTitle() != "Tenant" {
		t.Errorf("what would be is %v", wouldBe)
	}
	in := must(b.instances.CreateInstance(b.operator, &carillonv1.CreateInstanceRequest{Instance: asked, RequestId: "r"}))(t)
	again := must(b.instances.CreateInstance(b.operator, &carillonv1.CreateInstanceRequest{Instance: asked, RequestId: "r"}))(t)
	if diff := cmp.Diff(in, again, protocmp.Transform()); diff != "" || !strings.HasPrefix(in.GetId(), "inst_") {
		t.Errorf("%v, repeated (-first +again):\n%s", in, diff)
	}
	if list := must(b.instances.ListInstances(b.operator, &carillonv1.ListInstancesRequest{}))(t); len(list.GetInstances()) != 1 {
		t.Errorf("instances are %v", list)
	}
	res := must(b.instances.CreateResource(b.operator, &carillonv1.CreateResourceRequest{InstanceId: in.GetId(), Resource: &carillonv1.Resource{Title: "R", Description: "d"}}))(t)
	if diff := cmp.Diff(res, must(b.instances.GetResource(b.operator, &carillonv1.GetResourceRequest{ResourceId: res.GetId()}))(t), protocmp.Transform()); diff != "" {
		t.Errorf("resource (-made +read):\n%s", diff)
	}
	if list := must(b.instances.ListResources(b.operator, &carillonv1.ListResourcesRequest{InstanceId: in.GetId()}))(t); len(list.GetResources()) != 1 {
		t.Errorf("resources are %v", list)
	}
	_, err := b.instances.DeleteInstance(b.operator, &carillonv1.DeleteInstanceRequest{InstanceId: in.GetId()})
	wantCode(t, err, codes.FailedPrecondition, "INSTANCE_NOT_EMPTY")
	using := hourly(t)
	using.Workflow = document(t, `{"tasks":[{"name":"a","type":"test.touch","args":{"resourceId":"`+res.GetId()+`"}}]}`)
	j := b.create(in.GetId(), using)
	_, err = b.instances.DeleteResource(b.operator, &carillonv1.DeleteResourceRequest{ResourceId: res.GetId()})
	wantCode(t, err, codes.FailedPrecondition, "RESOURCE_IN_USE")
	must(b.jobs.DeleteJob(b.operator, &carillonv1.DeleteJobRequest{JobId: j.GetId()}))(t)
	must(b.instances.DeleteResource(b.operator, &carillonv1.DeleteResourceRequest{ResourceId: res.GetId()}))(t)
	must(b.instances.DeleteInstance(b.operator, &carillonv1.DeleteInstanceRequest{InstanceId: in.GetId()}))(t)
	_, err = b.instances.GetInstance(b.operator, &carillonv1.GetInstanceRequest{InstanceId: in.GetId()})
	wantCode(t, err, codes.NotFound, "INSTANCE_NOT_FOUND")
}

// A client that makes an instance owns it through instance-*, and nobody else
// does.
func TestMakerOwnsInstance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	linked := b.instance()
	maker := b.client([]string{"instance-create", "instance-*"}, linked.GetId())
	stranger := b.client([]string{"instance-create", "instance-*"})
	ctx := b.signIn(maker)
	made := must(b.instances.CreateInstance(ctx, &carillonv1.CreateInstanceRequest{}))(t)
	must(b.jobs.CreateJob(ctx, &carillonv1.CreateJobRequest{InstanceId: made.GetId(), Job: hourly(t)}))(t)
	list := must(b.instances.ListInstances(ctx, &carillonv1.ListInstancesRequest{}))(t)
	if len(list.GetInstances()) != 2 || list.GetInstances()[0].GetId() != made.GetId() || list.GetInstances()[1].GetId() != linked.GetId() {
		t.Errorf("the maker's instances are %v", list)
	}
	if list := must(b.instances.ListInstances(b.signIn(stranger), &carillonv1.ListInstancesRequest{}))(t); len(list.GetInstances()) != 0 {
		t.Errorf("the stranger's instances are %v", list)
	}
	_, err := b.jobs.ListJobs(b.signIn(stranger), &carillonv1.ListJobsRequest{InstanceId: made.GetId()})
	wantCode(t, err, codes.NotFound, "INSTANCE_NOT_FOUND")
}

func TestClients(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance()
	c := b.client([]string{"instance-read-inst_1", "instance-write-1", "instance-create"}, in.GetId(), strings.TrimPrefix(in.GetId(), "inst_"))
	if c.GetClientSecret() == "" || !strings.HasPrefix(c.GetId(), "client_") {
		t.Errorf("client is %v", c)
	}
	if diff := cmp.Diff([]string{"instance-create", "instance-write-1"}, c.GetScopes()); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{in.GetId()}, c.GetInstanceIds()); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	shown := proto.CloneOf(c)
	shown.ClientSecret = nil
	list := must(b.instances.ListClients(b.operator, &carillonv1.ListClientsRequest{}))(t)
	if diff := cmp.Diff([]*carillonv1.Client{shown}, list.GetClients(), protocmp.Transform()); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	for _, validateOnly := range []bool{true, false} {
		_, err := b.instances.CreateClient(b.operator, &carillonv1.CreateClientRequest{ValidateOnly: validateOnly, Client: &carillonv1.Client{
			Scopes: []string{"operator", "admin", "instance-read-"}, InstanceIds: []string{in.GetId(), "inst_999", "res_1"}}})
		want := []string{"instanceIds[1] INSTANCE_NOT_FOUND", "instanceIds[2] INSTANCE_NOT_FOUND", "scopes[1] UNKNOWN_SCOPE", "scopes[2] UNKNOWN_SCOPE"}
		if diff := cmp.Diff(want, violations(err)); diff != "" {
			t.Errorf("violations (-want +got):\n%s", diff)
		}
	}
	wouldBe := must(b.instances.CreateClient(b.operator, &carillonv1.CreateClientRequest{Client: &carillonv1.Client{}, ValidateOnly: true}))(t)
	if wouldBe.GetId() != "" || wouldBe.GetClientSecret() != "" {
		t.Errorf("what would be is %v", wouldBe)
	}
}

func TestSecretsAndTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance()
	c := b.client([]string{"instance-write-" + in.GetId()[5:]})
	token := must(b.token(c, ""))(t)
	if token.GetTokenType() != "Bearer" || token.GetExpiresIn() != 14399 || token.GetScope() != "instance-write-"+in.GetId()[5:] {
		t.Errorf("token is %v", token)
	}
	old := bearer(t.Context(), token.GetAccessToken())
	list := &carillonv1.ListJobsRequest{InstanceId: in.GetId()}
	must(b.jobs.ListJobs(old, list))(t)

	reset := must(b.instances.ResetClientSecret(b.operator, &carillonv1.ResetClientSecretRequest{ClientId: c.GetId()}))(t)
	if reset.GetClientSecret() == "" || reset.GetClientSecret() == c.GetClientSecret() {
		t.Errorf("the new secret is %q", reset.GetClientSecret())
	}
	_, err := b.jobs.ListJobs(old, list)
	wantCode(t, err, codes.Unauthenticated, "UNAUTHENTICATED")
	_, err = b.token(c, "")
	wantCode(t, err, codes.Unauthenticated, "INVALID_CLIENT")
	fresh := b.signIn(reset)
	must(b.jobs.ListJobs(fresh, list))(t)
	must(b.instances.DeleteClient(b.operator, &carillonv1.DeleteClientRequest{ClientId: c.GetId()}))(t)
	_, err = b.jobs.ListJobs(fresh, list)
	wantCode(t, err, codes.Unauthenticated, "UNAUTHENTICATED")
	for _, id := range []string{c.GetId(), "client_999", "inst_1", ""} {
		_, err := b.instances.DeleteClient(b.operator, &carillonv1.DeleteClientRequest{ClientId: id})
		want := codes.NotFound
		if id == "" {
			want = codes.InvalidArgument
		}
		wantCode(t, err, want, "")
	}
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.client([]string{"instance-read-1"})
	for name, test := range map[string]struct {
		in     *carillonv1.IssueTokenRequest
		code   codes.Code
		reason string
	}{
		"no grant":      {&carillonv1.IssueTokenRequest{}, codes.InvalidArgument, "INVALID_REQUEST"},
		"password":      {&carillonv1.IssueTokenRequest{GrantType: "password"}, codes.InvalidArgument, "UNSUPPORTED_GRANT_TYPE"},
		"refresh_token": {&carillonv1.IssueTokenRequest{GrantType: "refresh_token"}, codes.InvalidArgument, "UNSUPPORTED_GRANT_TYPE"},
		"wrong secret":  {&carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: c.GetId(), ClientSecret: "cs_x"}, codes.Unauthenticated, "INVALID_CLIENT"},
		"no client":     {&carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: "x", ClientSecret: "cs_x"}, codes.Unauthenticated, "INVALID_CLIENT"},
		"too much":      {&carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: c.GetId(), ClientSecret: c.GetClientSecret(), Scope: "operator"}, codes.InvalidArgument, "INVALID_SCOPE"},
		"nonsense":      {&carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: c.GetId(), ClientSecret: c.GetClientSecret(), Scope: "x"}, codes.InvalidArgument, "INVALID_SCOPE"},
	} {
		_, err := b.tokens.IssueToken(t.Context(), test.in)
		t.Run(name, func(t *testing.T) { wantCode(t, err, test.code, test.reason) })
	}
	wrong := &carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: c.GetId(), ClientSecret: "cs_wrong"}
	var last error
	for range 30 {
		_, last = b.tokens.IssueToken(t.Context(), wrong)
	}
	wantCode(t, last, codes.ResourceExhausted, "INVALID_CLIENT")
	must(b.token(c, "instance-read-1"))(t) // the right secret passes all the same
	keys := must(b.tokens.GetSigningKeys(t.Context(), &carillonv1.GetSigningKeysRequest{}))(t)
	if keys.GetIssuer() != publicURL || !strings.Contains(keys.GetJwks(), `"Ed25519"`) || strings.Contains(keys.GetJwks(), `"d"`) {
		t.Errorf("keys are %v", keys)
	}
}

// A request id is its caller's own: two tokens that were made by hand for different
// tenants have one subject, and are not the same caller.
func TestRequestIDsOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	seen := map[string]bool{}
	for _, scopes := range []string{"operator", "instance-create instance-read-7", "instance-create instance-read-8"} {
		ask := &carillonv1.CreateInstanceRequest{Instance: &carillonv1.Instance{Title: "a"}, RequestId: "r"}
		first, second := must(b.instances.CreateInstance(b.as(scopes), ask))(t), must(b.instances.CreateInstance(b.as(scopes), ask))(t)
		if seen[first.GetId()] || first.GetId() != second.GetId() {
			t.Errorf("the same request id of %q made %s and %s, and %v before", scopes, first.GetId(), second.GetId(), seen)
		}
		seen[first.GetId()] = true
	}
}
