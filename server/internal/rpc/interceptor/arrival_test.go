package interceptor

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func calling(ctx context.Context, address string) context.Context {
	return peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 1}})
}

// Of calls whose requests take long only some of each address go on; what has
// arrived in time is not touched.
func TestLateArrivals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		arrive := func(address string) context.Context {
			ctx, err := b.chain.Arrive(calling(t.Context(), address), nil)
			if err != nil {
				t.Fatal(err)
			}
			return ctx
		}
		ended := func(all []context.Context) (n int) {
			synctest.Wait()
			for _, ctx := range all {
				if ctx.Err() != nil {
					n++
				}
			}
			return n
		}
		var slow, prompt []context.Context
		for range maxLateOfOne + 10 {
			slow = append(slow, arrive("192.0.2.1"))
			prompt = append(prompt, arrive("192.0.2.1"))
		}
		other := arrive("192.0.2.2")
		for _, ctx := range prompt {
			(&call{method: getJob}).arrived(ctx)
		}
		time.Sleep(lateAfter + time.Second)
		if n := ended(slow); n != 10 {
			t.Errorf("%d of %d late calls were ended, want 10", n, len(slow))
		}
		if other.Err() != nil {
			t.Error("another address pays for it")
		}
		time.Sleep(arrivalTime)
		if n := ended(slow); n != len(slow) {
			t.Errorf("%d of %d calls that never came were ended", n, len(slow))
		}
		if n := ended(prompt); n != 0 {
			t.Errorf("%d calls that had arrived were ended", n)
		}
		if _, ok := b.chain.late.Take("192.0.2.1"); !ok {
			t.Error("those that ended still count")
		}
	})
}

// A stream whose caller reads nothing ends with its token all the same, although
// its handler hangs in gRPC.
func TestUnreadStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.chain.Verifier = &expiring{until: time.Now().Add(time.Hour)}
		ctx, err := b.chain.Arrive(as(t.Context(), "operator"), nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		stream := &fakeStream{ctx: ctx, request: &carillonv1.TailLogRequest{ExecutionId: "exec_10"}}
		err = b.chain.Stream(b, stream, &grpc.StreamServerInfo{FullMethod: carillonv1.ExecutionService_TailLog_FullMethodName, IsServerStream: true}, func(_ any, s grpc.ServerStream) error {
			if err := s.RecvMsg(&carillonv1.TailLogRequest{}); err != nil {
				return err
			}
			<-ctx.Done() // as SendMsg does
			return ctx.Err()
		})
		if took := time.Since(began); status.Code(err) != codes.Unauthenticated || took > time.Hour+time.Minute {
			t.Errorf("ended after %s with %v", took, err)
		}
	})
}

// Streams that need no token are bounded by the address.
func TestPublicStreamsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.chain.MaxStreams = 2
	watch := &grpc.StreamServerInfo{FullMethod: healthv1.Health_Watch_FullMethodName, IsServerStream: true}
	var open func(ctx context.Context, more int) error
	open = func(ctx context.Context, more int) error {
		return b.chain.Stream(b, &fakeStream{ctx: ctx, request: &healthv1.HealthCheckRequest{}}, watch, func(any, grpc.ServerStream) error {
			if more == 0 {
				return nil
			}
			return open(ctx, more-1)
		})
	}
	if err := open(calling(t.Context(), "192.0.2.1"), 1); err != nil {
		t.Errorf("two streams: %v", err)
	}
	if err := open(calling(t.Context(), "192.0.2.1"), 2); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("three streams: %v", err)
	}
}
