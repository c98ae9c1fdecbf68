package interceptor

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

func TestWorkOf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		method  string
		request proto.Message
		want    int
	}{
		"one object":     {getJob, &carillonv1.GetJobRequest{}, 1},
		"a change":       {updateJob, &carillonv1.UpdateJobRequest{}, 5},
		"a page":         {listRuns, &carillonv1.ListExecutionsRequest{}, 6},
		"a large page":   {listRuns, &carillonv1.ListExecutionsRequest{PageSize: 1000}, 51},
		"a lowered one":  {listRuns, &carillonv1.ListExecutionsRequest{PageSize: 1 << 30}, 51},
		"a small one":    {listRuns, &carillonv1.ListExecutionsRequest{PageSize: 5}, 1},
		"many histories": {carillonv1.ExecutionService_ListLatestExecutions_FullMethodName, &carillonv1.ListLatestExecutionsRequest{JobIds: make([]string, 100), Count: 10}, 51},
		"a preview":      {preview, &carillonv1.PreviewScheduleRequest{Count: 100}, 6},
	} {
		if got := workOf(b.chain.rules[c.method], c.request.ProtoReflect()); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// limits are a chain with limits and a clock that stands still until it is moved.
func limits(t *testing.T, client, instance int) (*bundle, *time.Time) {
	t.Helper()
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	return setup(t, func(o *Options) {
		o.ClientRate, o.InstanceRate, o.Now = client, instance, func() time.Time { return now }
	}), &now
}

// until counts how many calls pass before one is refused.
func (b *bundle) until(t *testing.T, scopes string, request *carillonv1.ListExecutionsRequest) (passed int, refused error) {
	t.Helper()
	for ; passed < 10_000; passed++ {
		if err := b.call(as(t.Context(), scopes), listRuns, request); err != nil {
			return passed, err
		}
	}
	return passed, nil
}

func TestClientsAreLimitedByWork(t *testing.T) {
	t.Parallel()
	b, now := limits(t, 51, 0)
	large := &carillonv1.ListExecutionsRequest{InstanceId: "1", PageSize: 1000}
	passed, err := b.until(t, "instance-read-1", large)
	if passed != burstSeconds {
		t.Errorf("%d large pages passed, want %d", passed, burstSeconds)
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	var retry *errdetails.RetryInfo
	var quota *errdetails.QuotaFailure
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.RetryInfo:
			retry = d
		case *errdetails.QuotaFailure:
			quota = d
		}
	}
	if wait := retry.GetRetryDelay().AsDuration(); wait != time.Second || len(quota.GetViolations()) != 1 {
		t.Errorf("wait %s, violations %v", wait, quota)
	}
	if passed, _ := b.until(t, "instance-read-1", &carillonv1.ListExecutionsRequest{InstanceId: "1", PageSize: 1}); passed != 0 {
		t.Errorf("with an empty bucket %d passed", passed)
	}
	*now = now.Add(time.Second)
	if passed, _ := b.until(t, "instance-read-1", large); passed != 1 {
		t.Errorf("a second later %d passed, want 1", passed)
	}
	if passed, err := b.until(t, "operator", large); err != nil {
		t.Errorf("the operator was refused after %d: %v", passed, err)
	}
}

// An outside issuer gives as many tokens as somebody asks for: all of a subject's
// share one bucket. Those that the operator made by hand are of many.
func TestTokensOfASubjectShareABucket(t *testing.T) {
	t.Parallel()
	of := func(p auth.Principal) string { return (&call{principal: p, peer: "192.0.2.1"}).caller() }
	for name, c := range map[string]struct {
		a, b auth.Principal
		same bool
	}{
		"outside":  {auth.Principal{Subject: "oidc:ann", TokenID: "1"}, auth.Principal{Subject: "oidc:ann", TokenID: "2"}, true},
		"subjects": {auth.Principal{Subject: "oidc:ann", TokenID: "1"}, auth.Principal{Subject: "oidc:bob", TokenID: "1"}, false},
		"client":   {auth.Principal{Subject: "client_3", ClientID: 3, TokenID: "1"}, auth.Principal{Subject: "client_3", ClientID: 3, TokenID: "2"}, true},
		"by hand":  {auth.Principal{Subject: "operator", TokenID: "1"}, auth.Principal{Subject: "operator", TokenID: "2"}, false},
	} {
		if same := of(c.a) == of(c.b); same != c.same {
			t.Errorf("%s: %s and %s", name, of(c.a), of(c.b))
		}
	}
}

func TestInstancesAreLimited(t *testing.T) {
	t.Parallel()
	b, _ := limits(t, 0, 6)
	page := func(instance string) *carillonv1.ListExecutionsRequest {
		return &carillonv1.ListExecutionsRequest{InstanceId: instance}
	}
	if passed, _ := b.until(t, "instance-read-1 instance-read-2", page("1")); passed != burstSeconds {
		t.Errorf("%d passed, want %d", passed, burstSeconds)
	}
	// A stranger takes nothing from a bucket that is not his.
	if _, err := b.until(t, "instance-read-1", page("2")); status.Code(err) != codes.NotFound {
		t.Errorf("a stranger: %v", err)
	}
	if passed, _ := b.until(t, "instance-read-1 instance-read-2", page("2")); passed != burstSeconds {
		t.Errorf("of another instance %d passed, want %d", passed, burstSeconds)
	}
}

func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	s := streams{open: map[string]int{}}
	leave, err := s.enter("a", 1)
	if err != nil {
		t.Fatal(err)
	}
	var exhausted *job.ExhaustedError
	if _, err := s.enter("a", 1); !errors.As(err, &exhausted) || !isLimited(err) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := s.enter("b", 1); err != nil {
		t.Errorf("another caller: %v", err)
	}
	leave()
	if _, err := s.enter("a", 1); err != nil || len(s.open) != 2 {
		t.Errorf("afterwards: %v, %v", err, s.open)
	}
}
