package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/job"
)

func (s *instanceServer) GetQuota(ctx context.Context, in *carillonv1.GetQuotaRequest) (*carillonv1.Quota, error) {
	id, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	return quotaMessage(s.instances.Quota(ctx, id))
}

func (s *instanceServer) SetQuota(ctx context.Context, in *carillonv1.SetQuotaRequest) (*carillonv1.Quota, error) {
	id, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	limits := in.GetLimits()
	if limits == nil {
		limits = &carillonv1.QuotaLimits{}
	}
	return quotaMessage(s.instances.SetQuota(ctx, id, job.Quota{
		Jobs: limits.Jobs, ExecutionsPerHour: limits.ExecutionsPerHour, LogMebibytes: limits.LogMebibytes, MinIntervalMinutes: limits.MinIntervalMinutes,
	}))
}

func quotaMessage(q instances.Quota, err error) (*carillonv1.Quota, error) {
	if err != nil {
		return nil, err
	}
	return &carillonv1.Quota{
		InstanceId: textOf(job.KindInstance, q.InstanceID),
		Limits: &carillonv1.QuotaLimits{
			Jobs: &q.Limits.Jobs, ExecutionsPerHour: &q.Limits.ExecutionsPerHour,
			LogMebibytes: &q.Limits.LogMebibytes, MinIntervalMinutes: &q.Limits.MinIntervalMinutes,
		},
		OwnLimits: &carillonv1.QuotaLimits{
			Jobs: q.Own.Jobs, ExecutionsPerHour: q.Own.ExecutionsPerHour, LogMebibytes: q.Own.LogMebibytes, MinIntervalMinutes: q.Own.MinIntervalMinutes,
		},
		Jobs: q.Usage.Jobs, ExecutionsThisHour: q.Usage.ExecutionsThisHour, LogMebibytes: int32((q.Usage.LogBytes + 1<<20 - 1) >> 20),
	}, nil
}
