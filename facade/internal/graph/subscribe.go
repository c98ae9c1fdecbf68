package graph

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
)

// ending is how a subscription ended. gqlgen takes the end of a resolver's
// channel for success; what went wrong is noted here before it is closed.
type ending struct{ err error }

type endingKey struct{}

// follow hands on what a stream of the service gives.
func follow[M, T any](ctx context.Context, stream grpc.ServerStreamingClient[M], err error, wrap func(*M) T) (<-chan T, error) {
	if err != nil {
		return nil, err
	}
	end, _ := ctx.Value(endingKey{}).(*ending)
	out := make(chan T)
	go func() {
		defer close(out)
		for {
			message, err := stream.Recv()
			if err != nil {
				if !errors.Is(err, io.EOF) && end != nil {
					end.err = err
				}
				return
			}
			select {
			case out <- wrap(message):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
