package rpc

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

var errPending = status.Error(codes.Unimplemented, "pending")

func (*jobServer) ExplainJob(context.Context, *carillonv1.ExplainJobRequest) (*carillonv1.ExplainJobResponse, error) {
	return nil, errPending
}
