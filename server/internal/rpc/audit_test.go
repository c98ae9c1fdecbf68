package rpc_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
)

// events are what the operator reads.
func (b *bundle) events(ask *carillonv1.ListAuditEventsRequest) []*carillonv1.AuditEvent {
	b.t.Helper()
	client := carillonv1.NewAuditServiceClient(b.conn)
	return must(client.ListAuditEvents(b.operator, ask))(b.t).GetEvents()
}

func TestAuditTellsWhoDidWhat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	j := b.create(in, hourly(t)).GetId()
	writer, reader, stranger := b.as("instance-write-"+in[5:]), b.as("instance-read-"+in[5:]), b.as("instance-write-"+other[5:])
	_, err := b.jobs.PauseJob(reader, &carillonv1.PauseJobRequest{JobId: j, Reason: "a-canary"})
	wantCode(t, err, codes.PermissionDenied, "")
	_, err = b.jobs.PauseJob(stranger, &carillonv1.PauseJobRequest{JobId: j, Reason: "a-canary"})
	wantCode(t, err, codes.NotFound, "")
	_ = must(b.jobs.PauseJob(writer, &carillonv1.PauseJobRequest{JobId: j, Reason: "a-canary"}))(t)

	var got []string
	for _, e := range b.events(&carillonv1.ListAuditEventsRequest{Object: j}) {
		got = append(got, strings.Join([]string{e.GetMethod(), e.GetScopes(), e.GetInstanceId(), e.GetCode()}, " "))
		if e.GetActor() != "operator" || e.GetTokenId() == "" || e.GetRequestId() == "" || e.GetTime() == nil || !strings.HasPrefix(e.GetId(), "audit_") {
			t.Errorf("event %v", e)
		}
		if strings.Contains(protojson.Format(e), "canary") {
			t.Errorf("an event quotes a request: %v", e)
		}
	}
	pause := "carillon.v1.JobService/PauseJob "
	want := []string{
		pause + "instance-write-" + in[5:] + " " + in + " OK",
		pause + "instance-write-" + other[5:] + "  NOT_FOUND",
		pause + "instance-read-" + in[5:] + " " + in + " PERMISSION_DENIED",
		"carillon.v1.JobService/CreateJob operator " + in + " OK",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// An owner reads of the own instance, and nothing of the stranger.
	client := carillonv1.NewAuditServiceClient(b.conn)
	own := must(client.ListAuditEvents(writer, &carillonv1.ListAuditEventsRequest{InstanceId: in, Method: "PauseJob"}))(t)
	if len(own.GetEvents()) != 2 || own.GetEvents()[1].GetCode() != "PERMISSION_DENIED" {
		t.Errorf("the owner reads %v", own)
	}
	for name, caller := range map[string]struct {
		ask  *carillonv1.ListAuditEventsRequest
		want codes.Code
	}{
		"of another":             {&carillonv1.ListAuditEventsRequest{InstanceId: other}, codes.NotFound},
		"of one that is missing": {&carillonv1.ListAuditEventsRequest{InstanceId: "inst_999"}, codes.NotFound},
	} {
		_, err := client.ListAuditEvents(writer, caller.ask)
		wantCode(t, err, caller.want, "")
		t.Log(name)
	}
	_, err = client.ListAuditEvents(reader, &carillonv1.ListAuditEventsRequest{InstanceId: in})
	wantCode(t, err, codes.PermissionDenied, "")

	// Without an instance everybody is answered what is theirs to write.
	for name, caller := range map[string]struct {
		ctx  context.Context
		want string
	}{
		"writer":   {writer, in},
		"of both":  {b.as("instance-write-" + in[5:] + " instance-write-" + other[5:]), in + " " + other},
		"reader":   {reader, ""},
		"by links": {b.as("instance-*"), ""},
		"of none":  {b.as("instance-create"), ""},
	} {
		seen := map[string]bool{}
		for _, e := range must(client.ListAuditEvents(caller.ctx, &carillonv1.ListAuditEventsRequest{}))(t).GetEvents() {
			seen[e.GetInstanceId()] = true
		}
		if got := strings.Join(slices.Sorted(maps.Keys(seen)), " "); got != caller.want {
			t.Errorf("%s reads of %q, want %q", name, got, caller.want)
		}
	}
}

func TestAuditPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 5 {
		b.instance()
	}
	client := carillonv1.NewAuditServiceClient(b.conn)
	ask := &carillonv1.ListAuditEventsRequest{Method: "CreateInstance", PageSize: 2}
	var seen []string
	for {
		page := must(client.ListAuditEvents(b.operator, ask))(t)
		for _, e := range page.GetEvents() {
			seen = append(seen, e.GetObject())
		}
		if ask.PageToken = page.GetNextPageToken(); ask.GetPageToken() == "" {
			break
		}
	}
	if strings.Join(seen, " ") != "inst_5 inst_4 inst_3 inst_2 inst_1" {
		t.Errorf("seen %v", seen)
	}
	ask.PageSize, ask.PageToken = 2, ""
	ask.PageToken = must(client.ListAuditEvents(b.operator, ask))(t).GetNextPageToken()
	ask.Actor = "somebody else"
	_, err := client.ListAuditEvents(b.operator, ask)
	wantCode(t, err, codes.InvalidArgument, "INVALID_PAGE_TOKEN")
}

// An execution that opens a credential is an event with its version.
func TestAuditTellsWhichConfigWasUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	res := b.resource(in).GetId()
	for range 2 {
		if err := b.addConfig(res, `{"a":{"type":"s3","token":"secret-canary","key":"k"}}`); err != nil {
			t.Fatal(err)
		}
	}
	instance, _ := job.KindInstance.Parse(in)
	opened := must(b.configs.For(instance, 77).Remote(t.Context(), res, "a"))(t)
	if err := opened.Save(t.Context(), "token", "newer-canary"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.configs.For(instance, 78).Remote(t.Context(), res, "missing"); err == nil {
		t.Error("a missing remote was opened")
	}
	var got []string
	for _, e := range b.events(&carillonv1.ListAuditEventsRequest{Object: res, InstanceId: in}) {
		got = append(got, strings.Join([]string{e.GetActor(), e.GetMethod(), e.GetDetails()["remote"], e.GetDetails()["version"], e.GetCode()}, " "))
		if strings.Contains(protojson.Format(e), "canary") {
			t.Errorf("an event holds a secret: %v", e)
		}
	}
	want := []string{
		"exec_77 SaveConfig a 3 OK", "exec_77 OpenConfig a 2 OK",
		"operator carillon.v1.ConfigService/AddConfig   OK", "operator carillon.v1.ConfigService/AddConfig   OK",
		"operator carillon.v1.InstanceService/CreateResource   OK",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Tokens that were given, and those that were not, are events of the client.
func TestAuditOfTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := must(b.instances.CreateClient(b.operator, &carillonv1.CreateClientRequest{Client: &carillonv1.Client{Scopes: []string{"instance-*"}}}))(t)
	ask := &carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: c.GetId(), ClientSecret: c.GetClientSecret()}
	_ = must(b.tokens.IssueToken(t.Context(), ask))(t)
	ask.ClientSecret = "wrong-canary"
	if _, err := b.tokens.IssueToken(t.Context(), ask); err == nil {
		t.Fatal("a wrong secret was taken")
	}
	got := b.events(&carillonv1.ListAuditEventsRequest{Object: c.GetId(), Method: "IssueToken"})
	if len(got) != 2 || got[0].GetCode() != "UNAUTHENTICATED" || got[0].GetActor() != "" || got[1].GetCode() != "OK" || got[1].GetActor() != c.GetId() {
		t.Errorf("events %v", got)
	}
	if text := protojson.Format(&carillonv1.ListAuditEventsResponse{Events: got}); strings.Contains(text, "canary") || strings.Contains(text, c.GetClientSecret()) {
		t.Errorf("events hold a secret: %s", text)
	}
}
