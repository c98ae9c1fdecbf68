package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func backfillTable(b *carillonv1.Backfill) func() *table {
	return func() *table {
		t := &table{head: []string{"ID", "JOB", "STATE", "FROM", "TO", "STARTED", "CONCURRENCY"}}
		t.add(b.GetId(), b.GetJobId(), b.GetState().String(), at(b.GetFrom()), at(b.GetTo()),
			fmt.Sprintf("%d of %d", b.GetStarted(), b.GetTotal()), strconv.Itoa(int(b.GetConcurrency())))
		return t
	}
}

func jobBackfill(s *session) *cobra.Command {
	request := &carillonv1.BackfillJobRequest{}
	var from, to, policy string
	cmd := &cobra.Command{
		Use: "backfill ID --from TIME --to TIME", Short: "run the occurrences of a range in the past", Args: cobra.ExactArgs(1),
		Example: `  carillon job backfill job_19 --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --validate-only`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request.JobId = args[0]
			var err error
			if request.From, err = needInstant("from", from); err != nil {
				return err
			}
			if request.To, err = needInstant("to", to); err != nil {
				return err
			}
			if request.OverlapPolicy, err = overlapPolicy(policy); err != nil {
				return err
			}
			answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.BackfillJob, request)
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, backfillTable(answer))
		}),
	}
	rangeFlags(cmd, &from, &to)
	cmd.Flags().Int32Var(&request.Concurrency, "concurrency", 0, "how many of its executions run at a time (default 1)")
	cmd.Flags().StringVar(&policy, "overlap-policy", "", "BUFFER_ALL (default) or ALLOW")
	cmd.Flags().StringVar(&request.RequestId, "request-id", "", "makes a repeat answer the first backfill")
	validateFlag(cmd, &request.ValidateOnly)
	return cmd
}

func backfillCommand(s *session) *cobra.Command {
	one := func(use, short string, do func(ctx context.Context, c carillonv1.JobServiceClient, id string) (*carillonv1.Backfill, error)) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: cobra.ExactArgs(1),
			RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
				conn, err := s.dial(ctx)
				if err != nil {
					return err
				}
				answer, err := do(ctx, carillonv1.NewJobServiceClient(conn), args[0])
				if err != nil {
					return err
				}
				return s.print(cmd.OutOrStdout(), answer, backfillTable(answer))
			}),
		}
	}
	return parent("backfill", "ranges of the past that are run as one",
		one("get ID", "how far it is", func(ctx context.Context, c carillonv1.JobServiceClient, id string) (*carillonv1.Backfill, error) {
			return c.GetBackfill(ctx, &carillonv1.GetBackfillRequest{BackfillId: id})
		}),
		one("cancel ID", "end it as one", func(ctx context.Context, c carillonv1.JobServiceClient, id string) (*carillonv1.Backfill, error) {
			return c.CancelBackfill(ctx, &carillonv1.CancelBackfillRequest{BackfillId: id})
		}))
}
