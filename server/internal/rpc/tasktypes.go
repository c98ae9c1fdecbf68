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
	q := query{carillonv1.TaskService_ListTaskTypes_FullMethodName}
	page, next, err := listNamed(q, in.GetPageSize(), in.GetPageToken(), s.types.Describe(), taskTypeMessage)
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListTaskTypesResponse{TaskTypes: page, NextPageToken: next}, nil
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
