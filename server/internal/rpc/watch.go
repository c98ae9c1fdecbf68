package rpc

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/executions"
	"github.com/pointscene/carillon/server/internal/job"
)

func (s *executionServer) WatchExecutions(in *carillonv1.WatchExecutionsRequest, stream grpc.ServerStreamingServer[carillonv1.WatchExecutionsResponse]) error {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return err
	}
	watch := executions.Watch{InstanceID: instance, Cursor: in.GetCursor()}
	if watch.JobID, err = optionalID(job.KindJob, in.GetJobId()); err != nil {
		return err
	}
	changes, err := s.executions.Watch(stream.Context(), watch)
	if err != nil {
		return err
	}
	// A watcher of an instance where nothing happens learns at once that it may
	// watch.
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for change, err := range changes {
		if err != nil {
			return err
		}
		e, err := executionMessage(stream.Context(), s.executions, change.Execution)
		if err != nil {
			return err
		}
		if err := stream.Send(&carillonv1.WatchExecutionsResponse{Execution: e, Cursor: change.Cursor}); err != nil {
			return err
		}
	}
	return nil
}
