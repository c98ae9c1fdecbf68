package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/configs"
	"github.com/pointscene/carillon/server/internal/job"
)

var _ carillonv1.ConfigServiceServer = (*configServer)(nil)

type configServer struct {
	carillonv1.UnsafeConfigServiceServer
	configs *configs.Service
}

func (s *configServer) AddConfig(ctx context.Context, in *carillonv1.AddConfigRequest) (*carillonv1.AddConfigResponse, error) {
	id, err := idOf(job.KindResource, in.GetResourceId())
	if err != nil {
		return nil, err
	}
	if err := s.configs.Add(ctx, id, object(in.GetConfig())); err != nil {
		return nil, err
	}
	return &carillonv1.AddConfigResponse{Success: true}, nil
}

func (s *configServer) GetConfig(ctx context.Context, in *carillonv1.GetConfigRequest) (*carillonv1.Config, error) {
	id, err := idOf(job.KindResource, in.GetResourceId())
	if err != nil {
		return nil, err
	}
	remotes, err := s.configs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &carillonv1.Config{ResourceId: textOf(job.KindResource, id), Remotes: mapAll(remotes, remoteMessage)}, nil
}

func (s *configServer) DeleteConfig(ctx context.Context, in *carillonv1.DeleteConfigRequest) (*carillonv1.DeleteConfigResponse, error) {
	id, err := idOf(job.KindResource, in.GetResourceId())
	if err != nil {
		return nil, err
	}
	if err := s.configs.Delete(ctx, id); err != nil {
		return nil, err
	}
	return &carillonv1.DeleteConfigResponse{}, nil
}

func remoteMessage(r job.SealedRemote) *carillonv1.Remote {
	m := &carillonv1.Remote{
		Name: r.Name, Type: r.Type, Keys: r.Keys, UpdatedAt: stamp(r.UpdatedAt), State: carillonv1.Remote_READY,
		ExpiresAt: stamp(r.Expiry.Credentials), TokenExpiresAt: stamp(r.Expiry.Token),
	}
	if r.Refusal != nil {
		m.State, m.Reason, m.Since = carillonv1.Remote_REAUTH_REQUIRED, r.Refusal.Reason, stamp(r.Refusal.Since)
	}
	return m
}

func (s *configServer) TestConfig(ctx context.Context, in *carillonv1.TestConfigRequest) (*carillonv1.TestConfigResponse, error) {
	id, err := idOf(job.KindResource, in.GetResourceId())
	if err != nil {
		return nil, err
	}
	tests, err := s.configs.Test(ctx, id, configs.TestRequest{Config: object(in.GetConfig()), Remotes: in.GetRemotes(), Write: in.GetWrite()})
	if err != nil {
		return nil, err
	}
	out := &carillonv1.TestConfigResponse{Success: true, Remotes: mapAll(tests, testMessage)}
	for _, t := range tests {
		out.Success = out.Success && t.Works()
	}
	return out, nil
}

func testMessage(t job.RemoteTest) *carillonv1.RemoteTest {
	m := &carillonv1.RemoteTest{Remote: t.Remote, Type: t.Type, Warnings: t.Warnings}
	m.Results = mapAll(t.Results, func(r job.CheckResult) *carillonv1.RemoteTest_Result {
		return &carillonv1.RemoteTest_Result{
			Check:   carillonv1.RemoteTest_Check(carillonv1.RemoteTest_Check_value[string(r.Check)]),
			Outcome: carillonv1.RemoteTest_Outcome(carillonv1.RemoteTest_Outcome_value[string(r.Outcome)]),
			Code:    r.Code, Reason: r.Reason, Message: r.Message, Duration: durationpb.New(r.Took),
		}
	})
	if q := t.Quota; q != nil {
		m.Quota = &carillonv1.RemoteTest_Quota{TotalBytes: q.Total, UsedBytes: q.Used, FreeBytes: q.Free}
	}
	return m
}
