package rpc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
)

// canary is a secret that must not show up anywhere.
const canary = "hunter2canary"

func (b *bundle) addConfig(resource, config string) error {
	b.t.Helper()
	_, err := b.config.AddConfig(b.operator, &carillonv1.AddConfigRequest{ResourceId: resource, Config: document(b.t, config)})
	return err
}

func (b *bundle) remotes(resource string) []*carillonv1.Remote {
	b.t.Helper()
	return must(b.config.GetConfig(b.operator, &carillonv1.GetConfigRequest{ResourceId: resource}))(b.t).GetRemotes()
}

func TestConfig(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	res := b.resource(in).GetId()
	add := func(config string) {
		t.Helper()
		if err := b.addConfig(res, config); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want ...*carillonv1.Remote) {
		t.Helper()
		ignore := protocmp.IgnoreFields(&carillonv1.Remote{}, "updated_at", "state")
		if diff := cmp.Diff(want, b.remotes(res), protocmp.Transform(), ignore); diff != "" {
			t.Errorf("remotes (-want +got):\n%s", diff)
		}
	}
	want()
	add(`{"b":{"type":"s3","secret":"` + canary + `","region":"","endpoint":"x"},"a":{"type":"s3"}}`)
	want(&carillonv1.Remote{Name: "a", Type: "s3"}, &carillonv1.Remote{Name: "b", Type: "s3", Keys: []string{"endpoint", "secret"}})
	add(`{"b":{"type":"s3","secret":"` + canary + `2"},"c":{"type":"s3"},"a":null,"nobody":null,"\u0000":null}`)
	want(&carillonv1.Remote{Name: "b", Type: "s3", Keys: []string{"secret"}}, &carillonv1.Remote{Name: "c", Type: "s3"})

	// Nothing of a refused request is stored.
	err := b.addConfig(res, `{"b":null,"d":{"type":"s3"},"e":{"type":"ftp","pass":"`+canary+`"},"f":"`+canary+`","g":{"type":"s3","x":1}}`)
	wantCode(t, err, codes.InvalidArgument, "")
	if diff := cmp.Diff([]string{"config.e.type UNKNOWN_REMOTE_TYPE", "config.f WRONG_TYPE", "config.g.x WRONG_TYPE"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	if strings.Contains(status.Convert(err).Proto().String(), canary) {
		t.Errorf("the refusal tells the secret: %v", err)
	}
	err = b.addConfig(res, `{"big":{"type":"s3","secret":"`+strings.Repeat(canary, 6000)+`"}}`)
	if diff := cmp.Diff([]string{"config TOO_LARGE"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	want(&carillonv1.Remote{Name: "b", Type: "s3", Keys: []string{"secret"}}, &carillonv1.Remote{Name: "c", Type: "s3"})

	must(b.config.DeleteConfig(b.operator, &carillonv1.DeleteConfigRequest{ResourceId: res}))(t)
	want()
}

// The secret is neither in the log nor in the database's files.
func TestConfigLeavesNoTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.resource(b.instance().GetId()).GetId()
	if err := b.addConfig(res, `{"a":{"type":"s3","secret":"`+canary+`"}}`); err != nil {
		t.Fatal(err)
	}
	_ = b.addConfig(res, `{"a":{"type":"no","secret":"`+canary+`"}}`)
	if strings.Contains(b.output.String(), canary) || !strings.Contains(b.output.String(), "AddConfig") {
		t.Errorf("the log is %s", b.output.String())
	}
	files, err := filepath.Glob(filepath.Join(b.folder, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files of the database: %v, %v", files, err)
	}
	for _, file := range files {
		if content, err := os.ReadFile(file); err != nil || strings.Contains(string(content), canary) {
			t.Errorf("%s holds the secret, or %v", file, err)
		}
	}
}

func TestOpenConfig(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	res := b.resource(in).GetId()
	if err := b.addConfig(res, `{"a":{"type":"s3","token":"old","key":"k"}}`); err != nil {
		t.Fatal(err)
	}
	number := func(text string) int64 {
		id, _ := job.KindInstance.Parse(text)
		return id
	}
	own, foreign := b.configs.For(number(in), 5), b.configs.For(number(other), 6)
	reason := func(err error) string {
		var failure *job.Failure
		if !errors.As(err, &failure) {
			t.Fatalf("error is %T %v, want a failure", err, err)
		}
		return failure.Reason
	}
	for name, test := range map[string]struct{ resource, remote, want string }{
		"missing resource": {"res_99", "a", "RESOURCE_NOT_FOUND"},
		"another prefix":   {"job_1", "a", "RESOURCE_NOT_FOUND"},
		"missing remote":   {res, "b", "REMOTE_NOT_CONFIGURED"},
	} {
		if _, err := own.Remote(t.Context(), test.resource, test.remote); reason(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	if _, err := foreign.Remote(t.Context(), res, "a"); reason(err) != "RESOURCE_NOT_FOUND" {
		t.Errorf("another instance opens it: %v", err)
	}
	first, err := own.Remote(t.Context(), strings.TrimPrefix(res, "res_"), "a")
	if err != nil || first.Type != "s3" {
		t.Fatalf("remote is %v: %v", first, err)
	}
	if diff := cmp.Diff(map[string]string{"token": "old", "key": "k"}, first.Options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	second, err := own.Remote(t.Context(), res, "a")
	if err != nil {
		t.Fatal(err)
	}
	stored := func(want string) {
		t.Helper()
		now, err := own.Remote(t.Context(), res, "a")
		if err != nil || now.Options["token"] != want || now.Options["key"] != "k" {
			t.Errorf("stored is %v, %v; want token %s", now.Options, err, want)
		}
	}
	for _, token := range []string{"new", "newer"} {
		if err := first.Save(t.Context(), "token", token); err != nil {
			t.Fatal(err)
		}
		stored(token)
	}
	// It was opened before the others stored theirs.
	if err := second.Save(t.Context(), "token", "stale"); err != nil {
		t.Fatal(err)
	}
	stored("newer")
	if err := b.addConfig(res, `{"a":null}`); err != nil {
		t.Fatal(err)
	}
	if err := first.Save(t.Context(), "token", "late"); reason(err) != "REMOTE_NOT_CONFIGURED" {
		t.Errorf("saving into a removed remote: %v", err)
	}
}

// Of changes that are made at the same time none gets lost.
func TestConcurrentConfigs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.resource(b.instance().GetId()).GetId()
	var wait sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wait.Go(func() {
			if err := b.addConfig(res, `{"shared":{"type":"s3"},"`+name+`":{"type":"s3"}}`); err != nil {
				t.Errorf("add %s: %v", name, err)
			}
		})
	}
	wait.Wait()
	if remotes := b.remotes(res); len(remotes) != 5 {
		t.Errorf("remotes are %v", remotes)
	}
}

// Callers see that credentials are refused and when they end; what the service
// paused for it goes on with new ones.
func TestRefusedConfig(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	res := b.resource(in).GetId()
	if err := b.addConfig(res, `{"a":{"type":"s3","token":"x"}}`); err != nil {
		t.Fatal(err)
	}
	j := hourly(t)
	j.Workflow = document(t, `{"tasks":[{"name":"t","type":"test.touch","args":{"resourceId":"`+res+`"}}]}`)
	id, byHand := b.create(in, j).GetId(), b.create(in, j).GetId()
	must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: byHand, Reason: "holiday"}))(t)
	instance, _ := job.KindInstance.Parse(in)
	opened, err := b.configs.For(instance, 1).Remote(t.Context(), res, "a")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.remotes(res)[0]; got.GetState() != carillonv1.Remote_READY || !got.GetExpiresAt().AsTime().Equal(b.clock.Now().Add(time.Hour).Truncate(time.Microsecond)) {
		t.Errorf("before it is refused the remote is %v", got)
	}
	if err := opened.Refused(t.Context(), &job.Failure{Reason: job.ReasonReauth, Message: "invalid_grant " + strings.Repeat("\u00e9", 400)}); err != nil {
		t.Fatal(err)
	}
	got := b.remotes(res)[0]
	if got.GetState() != carillonv1.Remote_REAUTH_REQUIRED || !strings.HasPrefix(got.GetReason(), "invalid_grant") || len(got.GetReason()) > 400 || got.GetSince() == nil {
		t.Errorf("the refused remote is %v", got)
	}
	_, err = b.configs.For(instance, 1).Remote(t.Context(), res, "a")
	if f, ok := errors.AsType[*job.Failure](err); !ok || f.Reason != job.ReasonReauth || f.Code != "UNAUTHENTICATED" {
		t.Errorf("opening it again: %v", err)
	}
	paused := b.get(id)
	if paused.GetState() != carillonv1.Job_PAUSED || paused.GetPause().GetActor() != "system" || !strings.HasPrefix(paused.GetPause().GetReason(), "REAUTH_REQUIRED: ") {
		t.Errorf("the job is %v", paused)
	}
	if text := must(b.jobs.ExplainJob(b.operator, &carillonv1.ExplainJobRequest{JobId: id}))(t).GetSummary(); !strings.Contains(text, "until new credentials are stored") {
		t.Errorf("the explanation is %s", text)
	}
	b.clock.set(b.clock.Now().Add(2 * time.Hour))
	if err := b.addConfig(res, `{"a":{"type":"s3","token":"y"}}`); err != nil {
		t.Fatal(err)
	}
	b.tick()
	if got := b.get(id); got.GetState() != carillonv1.Job_ACTIVE || got.GetPause() != nil || got.GetNextRun() == nil {
		t.Errorf("with a new config the job is %v", got)
	}
	if got := b.get(byHand); got.GetState() != carillonv1.Job_PAUSED || got.GetPause().GetReason() != "holiday" {
		t.Errorf("the job that somebody paused is %v", got)
	}
	if got := b.remotes(res)[0]; got.GetState() != carillonv1.Remote_READY {
		t.Errorf("the new config is %v", got)
	}
}
