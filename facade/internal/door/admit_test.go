package door_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/facadetest"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// as is the context of a call by a client, whom the service of the test takes the
// request id for.
func as(ctx context.Context, client string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+facadetest.Token, "x-request-id", client)
}

func newAdmission(t *testing.T) *door.Admission {
	t.Helper()
	service := facadetest.New(t)
	service.On("CheckAccess", func(ctx context.Context, _ proto.Message) (proto.Message, error) {
		client := strings.Join(metadata.ValueFromIncomingContext(ctx, "x-request-id"), "")
		return &carillonv1.CheckAccessResponse{}, grpc.SetHeader(ctx, metadata.Pairs("carillon-caller-bin", client))
	})
	return door.NewAdmission(door.NewAccess(service.Conn))
}

// A caller whose large requests take their time keeps out its own, and nobody
// else's.
func TestLargeBodiesAreShared(t *testing.T) {
	t.Parallel()
	a := newAdmission(t)
	leave, err := a.Enter(as(t.Context(), "greedy"), door.MaxBody)
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.Enter(as(impatient, "greedy"), door.MaxBody); err == nil {
		t.Error("the same caller has two of the largest bodies at a time")
	}
	for range 2 {
		others, err := a.Enter(as(t.Context(), "other"), door.MaxBody)
		if err != nil {
			t.Fatalf("another caller waits: %v", err)
		}
		others()
	}
	if small, err := a.Enter(impatient, 100); err != nil {
		t.Error("a small body waits")
	} else {
		small()
	}
	leave()
	again, err := a.Enter(as(t.Context(), "greedy"), door.MaxBody)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := a.Enter(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer bad"), door.MaxBody); err == nil {
		t.Error("nobody known may send a large body")
	}
}

// A caller can't fill the memory with large bodies that wait.
func TestHeldBodiesAreBounded(t *testing.T) {
	t.Parallel()
	a := newAdmission(t)
	ctx, cancel := context.WithCancel(as(t.Context(), "greedy"))
	held := 0
	for a.Known(ctx)() == nil && held < 100 {
		held++
	}
	if held != 16 {
		t.Errorf("a caller holds %d large bodies", held)
	}
	if _, err := a.Hold(as(t.Context(), "other"), door.MaxBody); err != nil {
		t.Errorf("another caller is refused: %v", err)
	}
	if leave, err := a.Hold(as(t.Context(), "greedy"), 100); err != nil {
		t.Error("a small body is refused")
	} else {
		leave()
	}
	cancel()
	for again := as(t.Context(), "greedy"); ; {
		if leave, err := a.Hold(again, door.MaxBody); err == nil {
			leave()
			break
		}
	}
}

// Of a large body that nobody known sends, little is read.
func TestUnknownCallersAreNotReadFurther(t *testing.T) {
	t.Parallel()
	a := newAdmission(t)
	read := func(ctx context.Context, size int) (taken int64, err error) {
		body := &counting{Reader: strings.NewReader(strings.Repeat(" ", size))}
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.Header.Set("Content-Type", "application/json")
		_, err = door.ReadBody(r, "application/json", false, a.Known(ctx))
		return body.n, err
	}
	if n, err := read(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer bad"), door.MaxBody); err == nil || n > 20<<10 {
		t.Errorf("%d bytes are read: %v", n, err)
	}
	if n, err := read(as(t.Context(), "a"), door.MaxBody); err != nil || n != door.MaxBody {
		t.Errorf("%d bytes are read: %v", n, err)
	}
	if _, err := read(as(t.Context(), "a"), door.MaxBody+1); err == nil {
		t.Error("a larger body is taken")
	}
}

type counting struct {
	io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
