package interceptor

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// answering calls a method that answers a job with a description of size bytes.
func (b *bundle) answering(ctx context.Context, size int) (any, error) {
	return b.chain.Unary(ctx, &carillonv1.GetJobRequest{JobId: "job_10"}, &grpc.UnaryServerInfo{FullMethod: getJob},
		func(context.Context, any) (any, error) {
			return &carillonv1.Job{Description: strings.Repeat("x", size)}, nil
		})
}

func TestAnswersAreWork(t *testing.T) {
	t.Parallel()
	b, now := limits(t, 10, 0)
	ctx := as(t.Context(), "instance-read-1")
	if _, err := b.answering(ctx, 99*bytesPerUnit); err != nil { // 1 and 99 of the 100 that are saved up
		t.Fatal(err)
	}
	if _, err := b.answering(ctx, 1); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("with an empty bucket: %v", err)
	}
	*now = now.Add(time.Second)
	if _, err := b.answering(ctx, 50*bytesPerUnit); err != nil {
		t.Errorf("a second later: %v", err)
	}
	*now = now.Add(4 * time.Second) // 50 of debt, less 9 and 40
	if _, err := b.answering(ctx, 1); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("in debt: %v", err)
	}
	*now = now.Add(time.Second)
	if _, err := b.answering(ctx, 1); err != nil {
		t.Errorf("out of debt: %v", err)
	}
}

// What a caller has not read counts until it is read, or forgotten.
func TestUnreadAnswersAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const size = 3 << 20
	ctx := as(t.Context(), "instance-read-1")
	var waiting []*outgoing
	for range maxUnread / size {
		answer, err := b.answering(ctx, size)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, answer.(*outgoing))
	}
	_, err := b.answering(ctx, size)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "to be read") {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := b.answering(ctx, 100); err != nil {
		t.Errorf("a small answer: %v", err)
	}
	if err := b.chain.unread.add("another", size); err != nil {
		t.Errorf("another caller: %v", err)
	}
	bytes, err := Codec().Marshal(waiting[0])
	if err != nil || bytes.Len() < size {
		t.Fatal(err, bytes.Len())
	}
	if _, err := b.answering(ctx, size); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("before it was read: %v", err)
	}
	bytes.Free()
	if _, err := b.answering(ctx, size); err != nil {
		t.Errorf("after it was read: %v", err)
	}
	func() {
		if _, err := Codec().Marshal(waiting[1]); err != nil {
			t.Fatal(err)
		}
	}()
	deadline := time.Now().Add(20 * time.Second)
	for _, err = b.answering(ctx, size); err != nil && time.Now().Before(deadline); _, err = b.answering(ctx, size) {
		runtime.GC() // as it comes by itself
	}
	if err != nil {
		t.Errorf("after it was forgotten: %v", err)
	}
}

// A change is refused before it is made or not at all: who is told that it was
// refused would make it again.
func TestChangesAreAnsweredWhenTheyAreMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := as(t.Context(), "instance-write-1")
	made := 0
	change := func() error {
		_, err := b.chain.Unary(ctx, &carillonv1.CreateJobRequest{InstanceId: "1", Job: &carillonv1.Job{}}, &grpc.UnaryServerInfo{FullMethod: createJob},
			func(context.Context, any) (any, error) {
				made++
				return &carillonv1.Job{Description: strings.Repeat("x", 1<<20)}, nil
			})
		return err
	}
	if _, err := b.answering(ctx, maxUnread-1<<19); err != nil {
		t.Fatal(err)
	}
	if err := change(); err != nil || made != 1 {
		t.Errorf("with room for a part of the answer: %v, made %d", err, made)
	}
	if err := change(); status.Code(err) != codes.ResourceExhausted || made != 1 {
		t.Errorf("without room: %v, made %d", err, made)
	}
}
