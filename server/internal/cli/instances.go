package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func instanceCommand(s *session) *cobra.Command {
	return parent("instance", "tenants: what a customer has belongs to one",
		instanceList(s), instanceGet(s), instanceCreate(s), instanceUse(s), instancePause(s), instanceResume(s), instanceDelete(s))
}

func instanceTable(instances ...*carillonv1.Instance) func() *table {
	return func() *table {
		t := &table{head: []string{"ID", "TITLE", "STATE", "CREATED"}}
		for _, i := range instances {
			state := "ACTIVE"
			if i.GetPause() != nil {
				state = "PAUSED: " + i.GetPause().GetReason()
			}
			t.add(i.GetId(), i.GetTitle(), state, at(i.GetCreatedAt()))
		}
		return t
	}
}

func instanceList(s *session) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "instances that you can see, newest first", Args: cobra.NoArgs,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			all := &carillonv1.ListInstancesResponse{}
			err := pages(limit, func(size int32, token string) (int, string, error) {
				answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListInstances,
					&carillonv1.ListInstancesRequest{PageSize: size, PageToken: token})
				all.Instances = append(all.Instances, answer.GetInstances()...)
				return len(answer.GetInstances()), answer.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, instanceTable(all.GetInstances()...))
		}),
	}
	limitFlag(cmd, &limit)
	return cmd
}

func limitFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", 100, "how many at most; 0 for all")
}

func instanceGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get [ID]", Short: "one instance", Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			id, err := s.oneInstance(args)
			if err != nil {
				return err
			}
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.GetInstance, &carillonv1.GetInstanceRequest{InstanceId: id})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, instanceTable(answer))
		}),
	}
}

// oneInstance is the instance that is named, or the default.
func (s *session) oneInstance(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	return s.needInstance()
}

func instanceCreate(s *session) *cobra.Command {
	instance := &carillonv1.Instance{}
	cmd := &cobra.Command{
		Use: "create TITLE", Short: "make an instance", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			instance.Title = args[0]
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.CreateInstance, &carillonv1.CreateInstanceRequest{Instance: instance})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, instanceTable(answer))
		}),
	}
	cmd.Flags().StringVar(&instance.Description, "description", "", "for people")
	return cmd
}

func instanceUse(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "use ID", Short: "make an instance the default of --instance", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if s.profile.APIAddr == "" {
				return &Exit{ExitDenied, errNotSignedIn}
			}
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.GetInstance, &carillonv1.GetInstanceRequest{InstanceId: args[0]})
			if err != nil {
				return err
			}
			s.profile.Instance = answer.GetId()
			if err := s.profile.write(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "The instance is %s, %s.\n", answer.GetId(), plain(answer.GetTitle()))
			return err
		}),
	}
}

func instancePause(s *session) *cobra.Command {
	var reason, until string
	cmd := &cobra.Command{
		Use: "pause [ID]", Short: "start no execution of any of its jobs by schedule", Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			id, err := s.oneInstance(args)
			if err != nil {
				return err
			}
			end, err := instant("until", until)
			if err != nil {
				return err
			}
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.PauseInstance,
				&carillonv1.PauseInstanceRequest{InstanceId: id, Reason: reason, Until: end})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, instanceTable(answer))
		}),
	}
	pauseFlags(cmd, &reason, &until)
	return cmd
}

func pauseFlags(cmd *cobra.Command, reason, until *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, for people")
	cmd.Flags().StringVar(until, "until", "", "when it resumes by itself: an RFC 3339 `time`, or a duration such as 90m from now")
}

func instanceResume(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "resume [ID]", Short: "let its jobs run again", Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			id, err := s.oneInstance(args)
			if err != nil {
				return err
			}
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ResumeInstance, &carillonv1.ResumeInstanceRequest{InstanceId: id})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, instanceTable(answer))
		}),
	}
}

func instanceDelete(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "delete an empty instance", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			_, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.DeleteInstance, &carillonv1.DeleteInstanceRequest{InstanceId: args[0]})
			if err == nil {
				say(cmd, "deleted %s", args[0])
			}
			return err
		}),
	}
}
