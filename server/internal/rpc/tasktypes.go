package rpc

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/task"
)

var _ carillonv1.TaskServiceServer = (*taskServer)(nil)

type taskServer struct {
	carillonv1.UnsafeTaskServiceServer
	types *task.Registry
}

func (s *taskServer) ListTaskTypes(_ context.Context, in *carillonv1.ListTaskTypesRequest) (*carillonv1.ListTaskTypesResponse, error) {
	q, after := query{carillonv1.TaskService_ListTaskTypes_FullMethodName}, ""
	if in.GetPageToken() != "" {
		if err := q.parse(in.GetPageToken(), &after); err != nil {
			return nil, err
		}
	}
	out := &carillonv1.ListTaskTypesResponse{}
	limit := pageSize(in.GetPageSize())
	for _, d := range s.types.Describe() {
		if d.Name <= after {
			continue
		}
		if len(out.TaskTypes) == limit {
			var err error
			out.NextPageToken, err = q.token(out.GetTaskTypes()[limit-1].GetName())
			return out, err
		}
		one, err := taskTypeMessage(d)
		if err != nil {
			return nil, err
		}
		out.TaskTypes = append(out.TaskTypes, one)
	}
	return out, nil
}

func taskTypeMessage(d task.Description) (*carillonv1.TaskType, error) {
	out := &carillonv1.TaskType{Name: d.Name, Description: d.Text, ArgumentsSchema: &structpb.Struct{}, Example: &structpb.Struct{}}
	if err := out.GetArgumentsSchema().UnmarshalJSON(d.Schema); err != nil {
		return nil, fmt.Errorf("schema of task type %s: %w", d.Name, err)
	}
	if err := out.GetExample().UnmarshalJSON(d.Example); err != nil {
		return nil, fmt.Errorf("example of task type %s: %w", d.Name, err)
	}
	return out, nil
}
