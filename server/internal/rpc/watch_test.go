package rpc_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
)

// watched is what a watch tells: "exec_1 RUNNING".
func watched(t *testing.T, stream carillonv1.ExecutionService_WatchExecutionsClient) (told, cursor string) {
	t.Helper()
	change := must(stream.Recv())(t)
	return change.GetExecution().GetId() + " " + change.GetExecution().GetState().String(), change.GetCursor()
}

func (b *bundle) watch(in *carillonv1.WatchExecutionsRequest) (carillonv1.ExecutionService_WatchExecutionsClient, context.CancelFunc) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.operator, time.Minute)
	b.t.Cleanup(stop)
	stream := must(b.executions.WatchExecutions(ctx, in))(b.t)
	must(stream.Header())(b.t) // comes before anything changes
	return stream, stop
}

func TestWatchExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	first, second := b.create(in, hourly(t)).GetId(), b.create(in, hourly(t)).GetId()
	b.run(b.create(b.instance().GetId(), hourly(t)).GetId()) // of another instance
	b.finish(b.claim(), job.StateSucceeded, nil, nil)
	waiting := b.run(first).GetId()
	stream, stop := b.watch(&carillonv1.WatchExecutionsRequest{InstanceId: in})
	var got []string
	await := func(want string) (cursor string) {
		for told := ""; told != want; got = append(got, told) {
			told, cursor = watched(t, stream)
		}
		return cursor
	}
	await(waiting + " QUEUED")
	b.finish(b.claim(), job.StateFailed, &job.Failure{Code: "UNKNOWN", Reason: "X", Message: "no"}, nil)
	await(waiting + " FAILED")
	short := b.run(second).GetId()
	b.finish(b.claim(), job.StateSucceeded, nil, nil)
	cursor := await(short + " SUCCEEDED")
	stop()
	want := []string{waiting + " QUEUED", waiting + " FAILED", short + " SUCCEEDED"}
	// What lies between may be told, or be over before anybody looks.
	between := []string{waiting + " RUNNING", short + " QUEUED", short + " RUNNING"}
	got = slices.Compact(slices.DeleteFunc(got, func(told string) bool { return slices.Contains(between, told) }))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}

	meanwhile := b.run(second).GetId()
	b.finish(b.claim(), job.StateSucceeded, nil, nil)
	stream, _ = b.watch(&carillonv1.WatchExecutionsRequest{InstanceId: in, Cursor: cursor})
	for told := ""; told != meanwhile+" SUCCEEDED"; told, _ = watched(t, stream) {
	}
	ofJob, _ := b.watch(&carillonv1.WatchExecutionsRequest{InstanceId: in, JobId: first})
	b.run(second)
	mine := b.run(first).GetId()
	if told, _ := watched(t, ofJob); told != mine+" QUEUED" {
		t.Errorf("a watch of one job tells %s", told)
	}
}

func TestWatchExecutionsRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	foreign := b.create(other, hourly(t)).GetId()
	for name, test := range map[string]struct {
		ctx     context.Context
		request *carillonv1.WatchExecutionsRequest
		code    codes.Code
		reason  string
	}{
		"without a token":     {t.Context(), &carillonv1.WatchExecutionsRequest{InstanceId: in}, codes.Unauthenticated, ""},
		"of another instance": {b.as("instance-read-" + strings.TrimPrefix(other, "inst_")), &carillonv1.WatchExecutionsRequest{InstanceId: in}, codes.NotFound, ""},
		"of no instance":      {b.operator, &carillonv1.WatchExecutionsRequest{InstanceId: "inst_99"}, codes.NotFound, ""},
		"of a foreign job":    {b.operator, &carillonv1.WatchExecutionsRequest{InstanceId: in, JobId: foreign}, codes.NotFound, ""},
		"of an odd job":       {b.operator, &carillonv1.WatchExecutionsRequest{InstanceId: in, JobId: "res_1"}, codes.NotFound, ""},
		"from nowhere":        {b.operator, &carillonv1.WatchExecutionsRequest{InstanceId: in, Cursor: "x"}, codes.InvalidArgument, "INVALID_CURSOR"},
		"from too far":        {b.operator, &carillonv1.WatchExecutionsRequest{InstanceId: in, Cursor: strings.Repeat("x", 1001)}, codes.InvalidArgument, "STRING_MAX_LEN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream, err := b.executions.WatchExecutions(test.ctx, test.request)
			if err == nil {
				_, err = stream.Recv()
			}
			wantCode(t, err, test.code, test.reason)
		})
	}
}
