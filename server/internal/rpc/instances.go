package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var _ carillonv1.InstanceServiceServer = (*instanceServer)(nil)

type instanceServer struct {
	carillonv1.UnsafeInstanceServiceServer
	instances *instances.Service
}

func (s *instanceServer) CreateInstance(ctx context.Context, in *carillonv1.CreateInstanceRequest) (*carillonv1.Instance, error) {
	request, err := requestOf(ctx, carillonv1.InstanceService_CreateInstance_FullMethodName, "", in)
	if err != nil {
		return nil, err
	}
	asked := job.Instance{Title: in.GetInstance().GetTitle(), Description: in.GetInstance().GetDescription()}
	made, err := s.instances.Create(ctx, asked, instances.Options{ValidateOnly: in.GetValidateOnly(), Request: request})
	if err != nil {
		return nil, err
	}
	return instanceMessage(made), nil
}

func (s *instanceServer) GetInstance(ctx context.Context, in *carillonv1.GetInstanceRequest) (*carillonv1.Instance, error) {
	id, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	found, err := s.instances.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return instanceMessage(found), nil
}

func (s *instanceServer) ListInstances(ctx context.Context, in *carillonv1.ListInstancesRequest) (*carillonv1.ListInstancesResponse, error) {
	q := query{carillonv1.InstanceService_ListInstances_FullMethodName}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[job.Instance, *carillonv1.Instance]{
		read:    func(page store.Page) ([]job.Instance, error) { return s.instances.List(ctx, page) },
		id:      func(i job.Instance) int64 { return i.ID },
		message: always(instanceMessage),
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListInstancesResponse{Instances: page, NextPageToken: next}, nil
}

func (s *instanceServer) DeleteInstance(ctx context.Context, in *carillonv1.DeleteInstanceRequest) (*carillonv1.DeleteInstanceResponse, error) {
	id, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	if err := s.instances.Delete(ctx, id); err != nil {
		return nil, err
	}
	return &carillonv1.DeleteInstanceResponse{}, nil
}

func (s *instanceServer) PauseInstance(ctx context.Context, in *carillonv1.PauseInstanceRequest) (*carillonv1.Instance, error) {
	id, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	paused, err := s.instances.Pause(ctx, instances.Pause{ID: id, Reason: in.GetReason(), Until: given(in.GetUntil())})
	if err != nil {
		return nil, err
	}
	return instanceMessage(paused), nil
}

func (s *instanceServer) ResumeInstance(ctx context.Context, in *carillonv1.ResumeInstanceRequest) (*carillonv1.Instance, error) {
	id, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	resumed, err := s.instances.Resume(ctx, id)
	if err != nil {
		return nil, err
	}
	return instanceMessage(resumed), nil
}

func (s *instanceServer) CreateResource(ctx context.Context, in *carillonv1.CreateResourceRequest) (*carillonv1.Resource, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	request, err := requestOf(ctx, carillonv1.InstanceService_CreateResource_FullMethodName, job.KindInstance.Format(instance), in)
	if err != nil {
		return nil, err
	}
	asked := job.Resource{InstanceID: instance, Title: in.GetResource().GetTitle(), Description: in.GetResource().GetDescription()}
	made, err := s.instances.CreateResource(ctx, asked, instances.Options{ValidateOnly: in.GetValidateOnly(), Request: request})
	if err != nil {
		return nil, err
	}
	return resourceMessage(made), nil
}

func (s *instanceServer) GetResource(ctx context.Context, in *carillonv1.GetResourceRequest) (*carillonv1.Resource, error) {
	id, err := idOf(job.KindResource, in.GetResourceId())
	if err != nil {
		return nil, err
	}
	found, err := s.instances.GetResource(ctx, id)
	if err != nil {
		return nil, err
	}
	return resourceMessage(found), nil
}

func (s *instanceServer) ListResources(ctx context.Context, in *carillonv1.ListResourcesRequest) (*carillonv1.ListResourcesResponse, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	q := query{carillonv1.InstanceService_ListResources_FullMethodName, job.KindInstance.Format(instance)}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[job.Resource, *carillonv1.Resource]{
		read:    func(page store.Page) ([]job.Resource, error) { return s.instances.ListResources(ctx, instance, page) },
		id:      func(r job.Resource) int64 { return r.ID },
		message: always(resourceMessage),
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListResourcesResponse{Resources: page, NextPageToken: next}, nil
}

func (s *instanceServer) DeleteResource(ctx context.Context, in *carillonv1.DeleteResourceRequest) (*carillonv1.DeleteResourceResponse, error) {
	id, err := idOf(job.KindResource, in.GetResourceId())
	if err != nil {
		return nil, err
	}
	if err := s.instances.DeleteResource(ctx, id); err != nil {
		return nil, err
	}
	return &carillonv1.DeleteResourceResponse{}, nil
}

func instanceMessage(i job.Instance) *carillonv1.Instance {
	return &carillonv1.Instance{
		Id: textOf(job.KindInstance, i.ID), Title: i.Title, Description: i.Description, CreatedAt: stamp(i.CreatedAt), Pause: pauseMessage(i.Pause),
	}
}

func pauseMessage(p *job.Pause) *carillonv1.Pause {
	if p == nil {
		return nil
	}
	return &carillonv1.Pause{
		Reason: p.Reason, Actor: p.Actor, Since: stamp(p.Since), Until: stamp(p.Until), InstanceId: textOf(job.KindInstance, p.InstanceID),
	}
}

func resourceMessage(r job.Resource) *carillonv1.Resource {
	return &carillonv1.Resource{
		Id: textOf(job.KindResource, r.ID), InstanceId: textOf(job.KindInstance, r.InstanceID),
		Title: r.Title, Description: r.Description, CreatedAt: stamp(r.CreatedAt),
	}
}
