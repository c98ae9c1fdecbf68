package cli

import (
	"context"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func resourceCommand(s *session) *cobra.Command {
	return parent("resource", "owners of credentials, which tasks name", resourceList(s), resourceGet(s), resourceCreate(s), resourceDelete(s))
}

func resourceTable(resources ...*carillonv1.Resource) func() *table {
	return func() *table {
		t := &table{head: []string{"ID", "INSTANCE", "TITLE", "CREATED"}}
		for _, r := range resources {
			t.add(r.GetId(), r.GetInstanceId(), r.GetTitle(), at(r.GetCreatedAt()))
		}
		return t
	}
}

func resourceList(s *session) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "resources of the instance, newest first", Args: cobra.NoArgs,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			instance, err := s.needInstance()
			if err != nil {
				return err
			}
			all := &carillonv1.ListResourcesResponse{}
			err = pages(limit, func(size int32, token string) (int, string, error) {
				answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListResources,
					&carillonv1.ListResourcesRequest{InstanceId: instance, PageSize: size, PageToken: token})
				all.Resources = append(all.Resources, answer.GetResources()...)
				return len(answer.GetResources()), answer.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, resourceTable(all.GetResources()...))
		}),
	}
	limitFlag(cmd, &limit)
	return cmd
}

func resourceGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "one resource", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.GetResource, &carillonv1.GetResourceRequest{ResourceId: args[0]})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, resourceTable(answer))
		}),
	}
}

func resourceCreate(s *session) *cobra.Command {
	resource := &carillonv1.Resource{}
	cmd := &cobra.Command{
		Use: "create TITLE", Short: "make a resource", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			instance, err := s.needInstance()
			if err != nil {
				return err
			}
			resource.Title = args[0]
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.CreateResource,
				&carillonv1.CreateResourceRequest{InstanceId: instance, Resource: resource})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, resourceTable(answer))
		}),
	}
	cmd.Flags().StringVar(&resource.Description, "description", "", "for people")
	return cmd
}

func resourceDelete(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "delete a resource that no job uses, with its credentials", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			_, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.DeleteResource, &carillonv1.DeleteResourceRequest{ResourceId: args[0]})
			if err == nil {
				say(cmd, "deleted %s", args[0])
			}
			return err
		}),
	}
}
