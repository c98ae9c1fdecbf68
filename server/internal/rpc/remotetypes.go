package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/remote"
)

func (s *configServer) ListRemoteTypes(_ context.Context, in *carillonv1.ListRemoteTypesRequest) (*carillonv1.ListRemoteTypesResponse, error) {
	q := query{carillonv1.ConfigService_ListRemoteTypes_FullMethodName}
	page, next, err := listNamed(q, in.GetPageSize(), in.GetPageToken(), remote.Describe(), always(remoteTypeMessage))
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListRemoteTypesResponse{RemoteTypes: page, NextPageToken: next}, nil
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
