package rpc_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func TestListTaskTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none := b.as("instance-read-99") // any token will do
	all := must(b.tasks.ListTaskTypes(none, &carillonv1.ListTaskTypesRequest{}))(t)
	var names []string
	for _, one := range all.GetTaskTypes() {
		names = append(names, one.GetName())
		if one.GetDescription() == "" || one.GetArgumentsSchema().GetFields()["type"].GetStringValue() != "object" || one.GetExample() == nil {
			t.Errorf("%v is not described", one)
		}
	}
	if len(names) != 3 || names[0] != "test.touch" || names[1] != "util.noop" || names[2] != "util.sleep" || all.GetNextPageToken() != "" {
		t.Fatalf("%q, next %q", names, all.GetNextPageToken())
	}
	if got := all.GetTaskTypes()[2].GetExample().AsMap()["duration"]; got != "1.5s" {
		t.Errorf("example of util.sleep: %v", got)
	}
	// Page by page it is the same.
	var paged []string
	for in := (&carillonv1.ListTaskTypesRequest{PageSize: 2}); ; {
		page := must(b.tasks.ListTaskTypes(none, in))(t)
		for _, one := range page.GetTaskTypes() {
			paged = append(paged, one.GetName())
		}
		if in.PageToken = page.GetNextPageToken(); in.PageToken == "" {
			break
		}
	}
	if len(paged) != 3 || paged[2] != names[2] {
		t.Errorf("page by page: %q", paged)
	}
	for token, want := range map[string]codes.Code{"x": codes.InvalidArgument, all.GetNextPageToken(): codes.OK} {
		if _, err := b.tasks.ListTaskTypes(none, &carillonv1.ListTaskTypesRequest{PageToken: token}); status.Code(err) != want {
			t.Errorf("token %q: %v, want %s", token, err, want)
		}
	}
	if _, err := b.tasks.ListTaskTypes(t.Context(), &carillonv1.ListTaskTypesRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}
