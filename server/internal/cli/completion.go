package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// completionLimit is how long a press of the tab key may take.
const completionLimit = 2 * time.Second

// listing is ids with a few words about each, newest first.
type listing func(ctx context.Context, s *session) ([]cobra.Completion, error)

// completeIDs makes a shell complete the ids of commands whose first argument
// is one.
func completeIDs(s *session, list listing, commands ...*cobra.Command) {
	for _, cmd := range commands {
		if words := strings.Fields(cmd.Use); len(words) > 1 && strings.Trim(words[1], "[]") == "ID" {
			cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return s.complete(list)(cmd, args, typed)
			}
		}
	}
}

// complete asks the service. It says nothing when that fails: whoever presses
// the tab key did not ask for a message in the middle of the line.
func (s *session) complete(list listing) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
		defer cancel()
		if s.open(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.close()
		all, err := list(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var fitting []cobra.Completion
		for _, one := range all {
			if strings.HasPrefix(one, typed) {
				fitting = append(fitting, one)
			}
		}
		// Newest first, not by the alphabet.
		return fitting, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func instanceIDs(ctx context.Context, s *session) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListInstances, &carillonv1.ListInstancesRequest{PageSize: 1000})
	var all []cobra.Completion
	for _, i := range answer.GetInstances() {
		all = append(all, cobra.CompletionWithDesc(i.GetId(), plain(i.GetTitle())))
	}
	return all, err
}

func jobIDs(ctx context.Context, s *session) ([]cobra.Completion, error) {
	instance, err := s.needInstance()
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.ListJobs, &carillonv1.ListJobsRequest{InstanceId: instance, PageSize: 1000})
	var all []cobra.Completion
	for _, j := range answer.GetJobs() {
		all = append(all, cobra.CompletionWithDesc(j.GetId(), plain(j.GetName())))
	}
	return all, err
}

func executionIDs(ctx context.Context, s *session) ([]cobra.Completion, error) {
	instance, err := s.needInstance()
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.ListExecutions, &carillonv1.ListExecutionsRequest{InstanceId: instance, PageSize: 100})
	var all []cobra.Completion
	for _, e := range answer.GetExecutions() {
		all = append(all, cobra.CompletionWithDesc(e.GetId(), e.GetJobId()+" "+e.GetState().String()))
	}
	return all, err
}
