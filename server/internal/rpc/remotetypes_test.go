package rpc_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/remote"
)

func TestListRemoteTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none := b.as("instance-read-99") // any token will do
	client := carillonv1.NewConfigServiceClient(b.conn)
	all := must(client.ListRemoteTypes(none, &carillonv1.ListRemoteTypesRequest{}))(t).GetRemoteTypes()
	var names []string
	for _, one := range all {
		names = append(names, one.GetName())
		if keys := one.GetKeys(); !slices.IsSortedFunc(keys, func(a, b *carillonv1.RemoteType_Key) int {
			return map[bool]int{true: 0, false: 1}[a.GetRequired()] - map[bool]int{true: 0, false: 1}[b.GetRequired()]
		}) {
			t.Errorf("%s: the needed keys are not the first: %v", one.GetName(), keys)
		}
	}
	if diff := cmp.Diff(remote.Types(), names); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	azure := all[slices.Index(names, "azureblob")]
	want := &carillonv1.RemoteType{
		Name: "azureblob", Bucket: true, Alternatives: []*carillonv1.RemoteType_Alternatives{{Names: []string{"key", "sas_url"}}},
		Keys: []*carillonv1.RemoteType_Key{
			{Name: "access_tier", Values: []string{"Hot", "Cool", "Cold", "Archive"}}, {Name: "account"}, {Name: "disable_checksum"},
			{Name: "endpoint"}, {Name: "key", Secret: true}, {Name: "sas_url", Secret: true},
		},
	}
	if diff := cmp.Diff(want, azure, protocmp.Transform()); diff != "" {
		t.Errorf("azureblob (-want +got):\n%s", diff)
	}
	var paged []*carillonv1.RemoteType
	for in := (&carillonv1.ListRemoteTypesRequest{PageSize: 2}); ; {
		page := must(client.ListRemoteTypes(none, in))(t)
		paged = append(paged, page.GetRemoteTypes()...)
		if in.PageToken = page.GetNextPageToken(); in.PageToken == "" {
			break
		}
	}
	if diff := cmp.Diff(all, paged, protocmp.Transform()); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}
	if _, err := client.ListRemoteTypes(t.Context(), &carillonv1.ListRemoteTypesRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}
