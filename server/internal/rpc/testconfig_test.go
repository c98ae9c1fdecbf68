package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

func (b *bundle) testConfig(resource, config string, remotes ...string) (*carillonv1.TestConfigResponse, error) {
	b.t.Helper()
	in := &carillonv1.TestConfigRequest{ResourceId: resource, Remotes: remotes, Write: true}
	if config != "" {
		in.Config = document(b.t, config)
	}
	return b.config.TestConfig(b.operator, in)
}

func TestTestConfig(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.resource(b.instance().GetId()).GetId()
	if err := b.addConfig(res, `{"a":{"type":"s3","key":"stored"},"b":{"type":"s3","key":"stored"}}`); err != nil {
		t.Fatal(err)
	}
	before := b.remotes(res)
	var mu sync.Mutex
	var tried []string
	room := int64(7)
	b.configs.TestWith(func(_ context.Context, config task.RemoteConfig, folder string, write bool) (job.RemoteTest, error) {
		mu.Lock()
		defer mu.Unlock()
		tried = append(tried, fmt.Sprintf("%s:%s %s %t, renews %t, notes %t", config.Name, folder, config.Options["key"], write, config.Renew != nil, config.Save != nil || config.Refused != nil))
		out := job.RemoteTest{Remote: config.Name + ":" + folder, Type: config.Type, Quota: &job.RemoteQuota{Free: &room}, Warnings: []string{"w"}, Results: []job.CheckResult{
			{Check: job.CheckConnect, Outcome: job.CheckOK, Took: time.Second},
			{Check: job.CheckList, Outcome: job.CheckFailed, Code: "NOT_FOUND", Reason: "FOLDER_MISSING", Message: "m"},
			{Check: job.CheckWrite, Outcome: job.CheckSkipped, Reason: "FOLDER_NOT_LISTED", Message: "m"},
		}}
		if config.Name != "a" {
			out.Results = out.Results[:1]
		}
		return out, nil
	})
	want := func(config string, remotes []string, want ...string) *carillonv1.TestConfigResponse {
		t.Helper()
		tried = nil
		out, err := b.testConfig(res, config, remotes...)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(tried, "; ")
		for _, one := range want {
			if !strings.Contains(got, one) || len(tried) != len(want) || len(out.GetRemotes()) != len(want) {
				t.Errorf("tried %s, want %s", got, want)
			}
		}
		return out
	}
	stored, given := "stored true, renews true, notes false", "given true, renews false, notes false"
	out := want("", nil, "a: "+stored, "b: "+stored)
	if out.GetSuccess() {
		t.Error("a failure is a success")
	}
	diff := cmp.Diff(&carillonv1.RemoteTest{
		Remote: "a:", Type: "s3", Warnings: []string{"w"}, Quota: &carillonv1.RemoteTest_Quota{FreeBytes: &room}, Results: []*carillonv1.RemoteTest_Result{
			{Check: carillonv1.RemoteTest_CONNECT, Outcome: carillonv1.RemoteTest_OK, Duration: durationpb.New(time.Second)},
			{Check: carillonv1.RemoteTest_LIST, Outcome: carillonv1.RemoteTest_FAILED, Code: "NOT_FOUND", Reason: "FOLDER_MISSING", Message: "m", Duration: &durationpb.Duration{}},
			{Check: carillonv1.RemoteTest_WRITE, Outcome: carillonv1.RemoteTest_SKIPPED, Reason: "FOLDER_NOT_LISTED", Message: "m", Duration: &durationpb.Duration{}},
		}}, out.GetRemotes()[0], protocmp.Transform())
	if diff != "" {
		t.Errorf("the test of a (-want +got):\n%s", diff)
	}
	if out := want("", []string{"b:/x:y"}, "b:/x:y "+stored); !out.GetSuccess() {
		t.Error("a success is none")
	}
	config := `{"b":{"type":"s3","key":"given"},"c":{"type":"s3","key":"given"}}`
	want(config, nil, "b: "+given, "c: "+given)
	want(config, []string{"c:/d", "a"}, "c:/d "+given, "a: "+stored)
	if diff := cmp.Diff(before, b.remotes(res), protocmp.Transform()); diff != "" {
		t.Errorf("a test has changed what is stored (-before +after):\n%s", diff)
	}

	tried = nil
	for name, test := range map[string]struct {
		config  string
		remotes []string
		want    []string
	}{
		"unknown":  {"", []string{"a", "x:/y", ""}, []string{"remotes[1] BAD_REMOTE", "remotes[2] BAD_REMOTE"}},
		"path":     {"", []string{"a:/../b", "a:/b\n"}, []string{"remotes[0] BAD_REMOTE", "remotes[1] BAD_REMOTE"}},
		"null":     {`{"a":null}`, nil, []string{"config.a WRONG_TYPE"}},
		"config":   {`{"a":{"type":"ftp","pass":"` + canary + `"}}`, nil, []string{"config.a.type UNKNOWN_REMOTE_TYPE"}},
		"too many": {"", make([]string, 11), []string{"remotes REPEATED_MAX_ITEMS"}},
	} {
		_, err := b.testConfig(res, test.config, test.remotes...)
		if diff := cmp.Diff(test.want, violations(err)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", name, diff)
		}
	}
	_, err := b.testConfig(b.resource(b.instance().GetId()).GetId(), "")
	wantCode(t, err, codes.FailedPrecondition, "REMOTE_NOT_CONFIGURED")
	if len(tried) != 0 {
		t.Errorf("what was refused was tried: %s", tried)
	}
}

// Credentials that are known to be refused are not tried again.
func TestTestOfRefusedConfig(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	res := b.resource(in).GetId()
	if err := b.addConfig(res, `{"a":{"type":"s3","token":"x"}}`); err != nil {
		t.Fatal(err)
	}
	instance, _ := job.KindInstance.Parse(in)
	opened, err := b.configs.For(instance, 1).Remote(t.Context(), res, "a")
	if err == nil {
		err = opened.Refused(t.Context(), &job.Failure{Reason: job.ReasonReauth, Message: "invalid_grant"})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.configs.TestWith(func(context.Context, task.RemoteConfig, string, bool) (job.RemoteTest, error) {
		t.Error("refused credentials were tried")
		return job.RemoteTest{}, nil
	})
	out := must(b.testConfig(res, ""))(t)
	first := out.GetRemotes()[0].GetResults()[0]
	if out.GetSuccess() || first.GetCode() != "UNAUTHENTICATED" || first.GetReason() != "REAUTH_REQUIRED" || len(out.GetRemotes()[0].GetResults()) != 4 {
		t.Errorf("answers %v", out)
	}
}

// One instance can't take every place, and a fault of ours is no verdict.
func TestTestConfigHasPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resources := []string{}
	for range 2 {
		res := b.resource(b.instance().GetId()).GetId()
		if err := b.addConfig(res, `{"a":{"type":"s3"}}`); err != nil {
			t.Fatal(err)
		}
		resources = append(resources, res)
	}
	started, release := make(chan struct{}), make(chan struct{})
	b.configs.TestWith(func(_ context.Context, config task.RemoteConfig, _ string, _ bool) (job.RemoteTest, error) {
		if config.Options["key"] != "hold" {
			return job.RemoteTest{}, nil
		}
		started <- struct{}{}
		<-release
		return job.RemoteTest{}, nil
	})
	var held sync.WaitGroup
	for range 3 {
		held.Go(func() {
			if _, err := b.testConfig(resources[0], `{"a":{"type":"s3","key":"hold"}}`); err != nil {
				t.Error(err)
			}
		})
		<-started
	}
	_, err := b.testConfig(resources[0], "")
	wantCode(t, err, codes.ResourceExhausted, "TOO_MANY_TESTS")
	must(b.testConfig(resources[1], ""))(t)
	close(release)
	held.Wait()
	must(b.testConfig(resources[0], ""))(t)

	b.configs.TestWith(func(_ context.Context, config task.RemoteConfig, _ string, _ bool) (job.RemoteTest, error) {
		if config.Options["key"] == "panic" {
			panic("oops")
		}
		return job.RemoteTest{}, errors.New("disk " + canary)
	})
	for _, config := range []string{"", `{"a":{"type":"s3","key":"panic"}}`} {
		_, err := b.testConfig(resources[0], config)
		wantCode(t, err, codes.Internal, "")
	}
}

// A token that can't be renewed is told by a test, and left to an execution to note.
func TestTestNotesNoRefusal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.resource(b.instance().GetId()).GetId()
	if err := b.addConfig(res, `{"a":{"type":"s3","token":"x"}}`); err != nil {
		t.Fatal(err)
	}
	before := b.remotes(res)
	asked := false
	b.configs.TestWith(func(ctx context.Context, config task.RemoteConfig, _ string, _ bool) (job.RemoteTest, error) {
		_, err := config.Renew(ctx, func(map[string]string) bool { return false }, func(context.Context, map[string]string) (string, error) {
			asked = true
			return "", &job.Failure{Code: "UNAUTHENTICATED", Reason: job.ReasonReauth, Message: "invalid_grant"}
		})
		if f, ok := errors.AsType[*job.Failure](err); !ok || f.Reason != job.ReasonReauth {
			t.Errorf("the renewal says %v", err)
		}
		return job.RemoteTest{}, nil
	})
	must(b.testConfig(res, ""))(t)
	if diff := cmp.Diff(before, b.remotes(res), protocmp.Transform()); !asked || diff != "" {
		t.Errorf("asked: %t; a test has noted a refusal (-before +after):\n%s", asked, diff)
	}
}
