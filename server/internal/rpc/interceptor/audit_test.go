package interceptor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/audit"
)

// from is a call from an address, with what its sender says of it.
func from(ctx context.Context, address net.Addr, forwarded ...string) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	md.Set("x-forwarded-for", forwarded...)
	return peer.NewContext(metadata.NewIncomingContext(ctx, md), &peer.Peer{Addr: address})
}

func TestWhatIsAudited(t *testing.T) {
	t.Parallel()
	update := func(id string) proto.Message {
		return &carillonv1.UpdateJobRequest{Job: &carillonv1.Job{Id: id}}
	}
	const createResource = carillonv1.InstanceService_CreateResource_FullMethodName
	failure := errors.New("the secret is hunter2")
	for name, c := range map[string]struct {
		scopes, method string
		request        proto.Message
		answer         error
		want           []audit.Event
	}{
		"a change":             {"instance-write-1", updateJob, update("job_10"), nil, []audit.Event{{Object: "job_10", InstanceID: 1, Code: "OK"}}},
		"one that failed":      {"instance-write-1", updateJob, update("job_10"), failure, []audit.Event{{Object: "job_10", InstanceID: 1, Code: "INTERNAL"}}},
		"a denied one":         {"instance-read-1", updateJob, update("job_10"), nil, []audit.Event{{Object: "job_10", InstanceID: 1, Code: "PERMISSION_DENIED"}}},
		"one of a stranger":    {"instance-write-2", updateJob, update("job_10"), nil, []audit.Event{{Object: "job_10", Code: "NOT_FOUND"}}},
		"one of what is not":   {"instance-write-1", updateJob, update("job_999"), nil, []audit.Event{{Object: "job_999", Code: "NOT_FOUND"}}},
		"one without a name":   {"instance-write-1", updateJob, update("<script>"), nil, []audit.Event{{Code: "NOT_FOUND"}}},
		"a creation":           {"operator", createResource, &carillonv1.CreateResourceRequest{InstanceId: "1"}, nil, []audit.Event{{Object: "inst_1", InstanceID: 1, Code: "OK"}}},
		"checks only":          {"operator", createResource, &carillonv1.CreateResourceRequest{InstanceId: "1", ValidateOnly: true}, nil, nil},
		"denied checks":        {"instance-read-1", createResource, &carillonv1.CreateResourceRequest{InstanceId: "1", ValidateOnly: true}, nil, []audit.Event{{Object: "inst_1", InstanceID: 1, Code: "PERMISSION_DENIED"}}},
		"the operator's":       {"operator", carillonv1.InstanceService_DeleteClient_FullMethodName, &carillonv1.DeleteClientRequest{ClientId: "3"}, nil, []audit.Event{{Object: "client_3", Code: "OK"}}},
		"not the operator's":   {"instance-write-1", carillonv1.InstanceService_DeleteClient_FullMethodName, &carillonv1.DeleteClientRequest{ClientId: "3"}, nil, []audit.Event{{Code: "PERMISSION_DENIED"}}},
		"a read":               {"operator", getJob, &carillonv1.GetJobRequest{JobId: "job_10"}, nil, nil},
		"a list":               {"operator", carillonv1.InstanceService_ListClients_FullMethodName, &carillonv1.ListClientsRequest{}, nil, nil},
		"a read of the audit":  {"operator", carillonv1.AuditService_ListAuditEvents_FullMethodName, &carillonv1.ListAuditEventsRequest{}, nil, []audit.Event{{Code: "OK"}}},
		"that of one instance": {"instance-write-1", carillonv1.AuditService_ListAuditEvents_FullMethodName, &carillonv1.ListAuditEventsRequest{InstanceId: "1"}, nil, []audit.Event{{Object: "inst_1", InstanceID: 1, Code: "OK"}}},
		"that of all":          {"instance-write-1", carillonv1.AuditService_ListAuditEvents_FullMethodName, &carillonv1.ListAuditEventsRequest{}, nil, []audit.Event{{Code: "OK"}}},
		"that by a reader":     {"instance-read-1", carillonv1.AuditService_ListAuditEvents_FullMethodName, &carillonv1.ListAuditEventsRequest{InstanceId: "1"}, nil, []audit.Event{{Object: "inst_1", InstanceID: 1, Code: "PERMISSION_DENIED"}}},
	} {
		b := setup(t)
		ctx := from(as(t.Context(), c.scopes), &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5})
		_, _ = b.chain.Unary(ctx, c.request, &grpc.UnaryServerInfo{FullMethod: c.method},
			func(context.Context, any) (any, error) { return &carillonv1.Job{}, c.answer })
		for i, e := range b.events.events {
			if e.RequestID == "" || e.Actor == "" || e.Method != c.method[1:] || e.Peer != "192.0.2.1" || e.Scopes == "" {
				t.Errorf("%s: event %+v", name, e)
			}
			b.events.events[i] = audit.Event{Object: e.Object, InstanceID: e.InstanceID, Code: e.Code}
		}
		if diff := cmp.Diff(c.want, b.events.events); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What a transaction has written is not written again.
func TestAuditOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.chain.Unary(as(t.Context(), "instance-write-1"), &carillonv1.UpdateJobRequest{Job: &carillonv1.Job{Id: "10"}},
		&grpc.UnaryServerInfo{FullMethod: updateJob}, func(ctx context.Context, _ any) (any, error) {
			p := audit.From(ctx)
			if p == nil || p.Event().Object != "job_10" || p.Event().InstanceID != 1 {
				t.Errorf("the handler's context carries %+v", p)
			}
			p.Written()
			return &carillonv1.Job{}, nil
		})
	if err != nil || len(b.events.events) != 0 {
		t.Errorf("%v, events %+v", err, b.events.events)
	}
}

// Nobody can fill the table without a token.
func TestAuditOfNobodyIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 * unknownBurst {
		_ = b.call(t.Context(), updateJob, &carillonv1.UpdateJobRequest{Job: &carillonv1.Job{Id: "10"}})
	}
	if n := len(b.events.events); n < unknownBurst || n > 2*unknownBurst {
		t.Errorf("%d events", n)
	}
	for _, e := range b.events.events {
		if e.Code != "UNAUTHENTICATED" || e.Actor != "" || e.Object != "" {
			t.Fatalf("event %+v", e)
		}
	}
}

func TestPeers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) {
		o.Trusted = func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.1") }
	})
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 9} }
	for name, c := range map[string]struct {
		address net.Addr
		said    []string
		want    string
	}{
		"a caller":                    {tcp("192.0.2.1"), nil, "192.0.2.1"},
		"one who pretends":            {tcp("192.0.2.1"), []string{"198.51.100.1"}, "192.0.2.1"},
		"a trusted proxy":             {tcp("10.0.0.1"), []string{"198.51.100.1"}, "198.51.100.1"},
		"one that says two":           {tcp("10.0.0.1"), []string{"198.51.100.1", "198.51.100.2"}, "10.0.0.1"},
		"one that says nonsense":      {tcp("10.0.0.1"), []string{"x\ny"}, "10.0.0.1"},
		"the facade of this process":  {inMemory{}, []string{"198.51.100.1"}, "198.51.100.1"},
		"the facade, of nobody known": {inMemory{}, nil, ""},
	} {
		if got := b.chain.peerOf(from(t.Context(), c.address, c.said...)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// inMemory is the address of a connection inside of the process.
type inMemory struct{}

func (inMemory) Network() string { return "bufconn" }
func (inMemory) String() string  { return "bufconn" }
