package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func deliveryCommand(s *session) *cobra.Command {
	return parent("delivery", "notices on their way to webhooks", deliveryList(s), deliveryGet(s), deliveryRedeliver(s))
}

func deliveryTable(list ...*carillonv1.Delivery) func() *table {
	return func() *table {
		t := &table{head: []string{"ID", "WEBHOOK", "EVENT", "JOB", "EXECUTION", "STATE", "CREATED", "NEXT", "LAST ATTEMPT"}}
		for _, d := range list {
			last := ""
			if n := len(d.GetAttempts()); n > 0 {
				a := d.GetAttempts()[n-1]
				last = a.GetReason()
				if a.GetStatus() > 0 {
					last = strings.TrimSpace(fmt.Sprintf("%d %s", a.GetStatus(), last))
				}
			}
			t.add(d.GetId(), d.GetWebhookId(), d.GetEvent().String(), d.GetJobId(), d.GetExecutionId(), d.GetState().String(), at(d.GetCreatedAt()), at(d.GetNextAttemptAt()), last)
		}
		return t
	}
}

func deliveryList(s *session) *cobra.Command {
	var limit int
	var state, event string
	request := &carillonv1.ListDeliveriesRequest{}
	cmd := &cobra.Command{
		Use: "list", Short: "deliveries of the instance, newest first", Args: cobra.NoArgs,
		Example: `  carillon delivery list --state FAILED`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) (err error) {
			if request.InstanceId, err = s.needInstance(); err != nil {
				return err
			}
			if request.State, err = enum[carillonv1.Delivery_State]("state", state, carillonv1.Delivery_State_name); err != nil {
				return err
			}
			if request.Event, err = enum[carillonv1.Webhook_Event]("event", event, carillonv1.Webhook_Event_name); err != nil {
				return err
			}
			all := &carillonv1.ListDeliveriesResponse{}
			err = pages(limit, func(size int32, token string) (int, string, error) {
				request.PageSize, request.PageToken = size, token
				answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.ListDeliveries, request)
				all.Deliveries = append(all.Deliveries, answer.GetDeliveries()...)
				return len(answer.GetDeliveries()), answer.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, deliveryTable(all.GetDeliveries()...))
		}),
	}
	limitFlag(cmd, &limit)
	cmd.Flags().StringVar(&request.WebhookId, "webhook", "", "only those of this webhook")
	cmd.Flags().StringVar(&request.JobId, "job", "", "only those about this job")
	cmd.Flags().StringVar(&state, "state", "", "only PENDING, DELIVERED or FAILED ones")
	cmd.Flags().StringVar(&event, "event", "", "only those that tell this")
	_ = cmd.RegisterFlagCompletionFunc("webhook", s.complete(webhookIDs))
	_ = cmd.RegisterFlagCompletionFunc("job", s.complete(jobIDs))
	completeValues(cmd, "state", carillonv1.Delivery_State_name)
	completeValues(cmd, "event", carillonv1.Webhook_Event_name)
	return cmd
}

func deliveryGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "one delivery", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.GetDelivery, &carillonv1.GetDeliveryRequest{DeliveryId: args[0]})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, deliveryTable(answer))
		}),
	}
}

func deliveryRedeliver(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "redeliver ID", Short: "send a notice again, now, with the same webhook-id", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.RedeliverNotice, &carillonv1.RedeliverNoticeRequest{DeliveryId: args[0]})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, deliveryTable(answer))
		}),
	}
}
