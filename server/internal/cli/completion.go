package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// completionLimit is how long a press of the tab key may take.
const completionLimit = 2 * time.Second

// listing is ids with a few words about each, newest first.
type listing func(ctx context.Context, s *session) ([]cobra.Completion, error)

// listings are the ids that a command's subcommands take.
var listings = map[string]listing{
	"instance": instanceIDs, "job": jobIDs, "execution": executionIDs, "backfill": backfillIDs,
	"resource": resourceIDs, "config": resourceIDs, "client": clientIDs, "webhook": webhookIDs, "delivery": deliveryIDs,
}

// completeIDs makes a shell complete the ids of commands whose first argument
// is one.
func completeIDs(s *session, list listing, commands ...*cobra.Command) {
	for _, cmd := range commands {
		if words := strings.Fields(cmd.Use); len(words) > 1 && slices.Contains([]string{"ID", "[ID]", "RESOURCE"}, words[1]) {
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

// instanceListing is a listing of what an instance has.
func instanceListing(list func(ctx context.Context, s *session, instance string) ([]cobra.Completion, error)) listing {
	return func(ctx context.Context, s *session) ([]cobra.Completion, error) {
		instance, err := s.needInstance()
		if err != nil {
			return nil, err
		}
		return list(ctx, s, instance)
	}
}

// completions are objects with a few words about each.
func completions[T interface{ GetId() string }](list []T, words func(T) string) []cobra.Completion {
	var all []cobra.Completion
	for _, one := range list {
		all = append(all, cobra.CompletionWithDesc(one.GetId(), plain(words(one))))
	}
	return all
}

func instanceIDs(ctx context.Context, s *session) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListInstances, &carillonv1.ListInstancesRequest{PageSize: 1000})
	return completions(answer.GetInstances(), (*carillonv1.Instance).GetTitle), err
}

func clientIDs(ctx context.Context, s *session) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListClients, &carillonv1.ListClientsRequest{PageSize: 1000})
	return completions(answer.GetClients(), (*carillonv1.Client).GetTitle), err
}

var jobIDs = instanceListing(func(ctx context.Context, s *session, instance string) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.ListJobs, &carillonv1.ListJobsRequest{InstanceId: instance, PageSize: 1000})
	return completions(answer.GetJobs(), (*carillonv1.Job).GetName), err
})

var resourceIDs = instanceListing(func(ctx context.Context, s *session, instance string) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListResources, &carillonv1.ListResourcesRequest{InstanceId: instance, PageSize: 1000})
	return completions(answer.GetResources(), (*carillonv1.Resource).GetTitle), err
})

var webhookIDs = instanceListing(func(ctx context.Context, s *session, instance string) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.ListWebhooks, &carillonv1.ListWebhooksRequest{InstanceId: instance, PageSize: 1000})
	return completions(answer.GetWebhooks(), (*carillonv1.Webhook).GetUrl), err
})

var deliveryIDs = instanceListing(func(ctx context.Context, s *session, instance string) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.ListDeliveries, &carillonv1.ListDeliveriesRequest{InstanceId: instance, PageSize: 100})
	return completions(answer.GetDeliveries(), func(d *carillonv1.Delivery) string {
		return d.GetEvent().String() + " " + d.GetState().String()
	}), err
})

var executionIDs = instanceListing(func(ctx context.Context, s *session, instance string) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.ListExecutions, &carillonv1.ListExecutionsRequest{InstanceId: instance, PageSize: 100})
	return completions(answer.GetExecutions(), func(e *carillonv1.Execution) string { return e.GetJobId() + " " + e.GetState().String() }), err
})

// backfillIDs are the backfills of the newest executions: there is no list of
// them.
var backfillIDs = instanceListing(func(ctx context.Context, s *session, instance string) ([]cobra.Completion, error) {
	answer, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.ListExecutions, &carillonv1.ListExecutionsRequest{InstanceId: instance, PageSize: 1000})
	var all []cobra.Completion
	for _, e := range answer.GetExecutions() {
		if one := cobra.CompletionWithDesc(e.GetTriggerId(), e.GetJobId()); e.GetTrigger() == carillonv1.Execution_BACKFILL && !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all, err
})

// completeValues makes a shell complete the value of a flag by an enum's names.
func completeValues(cmd *cobra.Command, flag string, names map[int32]string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(enumNames(names), cobra.ShellCompDirectiveNoFileComp))
}
