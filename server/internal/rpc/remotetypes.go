package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/remote"
)

func (s *configServer) ListRemoteTypes(_ context.Context, in *carillonv1.ListRemoteTypesRequest) (*carillonv1.ListRemoteTypesResponse, error) {
	q, after := query{carillonv1.ConfigService_ListRemoteTypes_FullMethodName}, ""
	if in.GetPageToken() != "" {
		if err := q.parse(in.GetPageToken(), &after); err != nil {
			return nil, err
		}
	}
	out := &carillonv1.ListRemoteTypesResponse{}
	limit := pageSize(in.GetPageSize())
	for _, d := range remote.Describe() {
		if d.Name <= after {
			continue
		}
		if len(out.RemoteTypes) == limit {
			var err error
			out.NextPageToken, err = q.token(out.GetRemoteTypes()[limit-1].GetName())
			return out, err
		}
		out.RemoteTypes = append(out.RemoteTypes, remoteTypeMessage(d))
	}
	return out, nil
}

func remoteTypeMessage(d remote.Description) *carillonv1.RemoteType {
	return &carillonv1.RemoteType{
		Name: d.Name, Bucket: d.Bucket,
		Keys: mapAll(d.Keys, func(k remote.KeyDescription) *carillonv1.RemoteType_Key {
			return &carillonv1.RemoteType_Key{Name: k.Name, Required: k.Required, Secret: k.Secret, Values: k.Values}
		}),
		Alternatives: mapAll(d.Alternatives, func(names []string) *carillonv1.RemoteType_Alternatives {
			return &carillonv1.RemoteType_Alternatives{Names: names}
		}),
	}
}
