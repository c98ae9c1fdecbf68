package rpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

var errPending = status.Error(codes.Unimplemented, "pending")

func (*jobServer) SkipOccurrence(context.Context, *carillonv1.SkipOccurrenceRequest) (*carillonv1.Occurrence, error) {
	return nil, errPending
}
func (*jobServer) MoveOccurrence(context.Context, *carillonv1.MoveOccurrenceRequest) (*carillonv1.Occurrence, error) {
	return nil, errPending
}
func (*jobServer) RestoreOccurrence(context.Context, *carillonv1.RestoreOccurrenceRequest) (*carillonv1.Occurrence, error) {
	return nil, errPending
}
func (*jobServer) ExplainJob(context.Context, *carillonv1.ExplainJobRequest) (*carillonv1.ExplainJobResponse, error) {
	return nil, errPending
}
func (*jobServer) BackfillJob(context.Context, *carillonv1.BackfillJobRequest) (*carillonv1.Backfill, error) {
	return nil, errPending
}
func (*jobServer) GetBackfill(context.Context, *carillonv1.GetBackfillRequest) (*carillonv1.Backfill, error) {
	return nil, errPending
}
func (*jobServer) CancelBackfill(context.Context, *carillonv1.CancelBackfillRequest) (*carillonv1.Backfill, error) {
	return nil, errPending
}
func (*instanceServer) PauseInstance(context.Context, *carillonv1.PauseInstanceRequest) (*carillonv1.Instance, error) {
	return nil, errPending
}
func (*instanceServer) ResumeInstance(context.Context, *carillonv1.ResumeInstanceRequest) (*carillonv1.Instance, error) {
	return nil, errPending
}
func (*executionServer) WatchExecutions(*carillonv1.WatchExecutionsRequest, grpc.ServerStreamingServer[carillonv1.WatchExecutionsResponse]) error {
	return errPending
}
