package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func occurrenceTable(occurrences ...*carillonv1.Occurrence) func() *table {
	return func() *table {
		t := &table{head: []string{"SCHEDULED FOR", "OUTCOME", "REASON", "EXECUTION", "UNTIL", "COUNT"}}
		for _, o := range occurrences {
			reason := o.GetReason()
			if o.GetMovedTo() != nil {
				reason = "moved to " + at(o.GetMovedTo())
			}
			t.add(at(o.GetScheduledFor()), o.GetOutcome().String(), reason, o.GetExecutionId(), at(o.GetUntil()), strconv.Itoa(int(o.GetCount())))
		}
		return t
	}
}

func rangeFlags(cmd *cobra.Command, from, to *string) {
	cmd.Flags().StringVar(from, "from", "", "from this `time` on: RFC 3339, or a duration from now such as -24h")
	cmd.Flags().StringVar(to, "to", "", "up to this `time`, exclusive")
}

func jobOccurrences(s *session) *cobra.Command {
	var from, to string
	var limit int
	cmd := &cobra.Command{
		Use: "occurrences ID", Short: "every instant at which it was or will be due, and what became of it", Args: cobra.ExactArgs(1),
		Example: `  carillon job occurrences job_19 --from -168h`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request := &carillonv1.ListOccurrencesRequest{JobId: args[0]}
			var err error
			if request.From, err = instant("from", from); err != nil {
				return err
			}
			if request.To, err = instant("to", to); err != nil {
				return err
			}
			all := &carillonv1.ListOccurrencesResponse{}
			err = pages(limit, func(size int32, token string) (int, string, error) {
				request.PageSize, request.PageToken = size, token
				answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.ListOccurrences, request)
				all.Occurrences = append(all.Occurrences, answer.GetOccurrences()...)
				return len(answer.GetOccurrences()), answer.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, occurrenceTable(all.GetOccurrences()...))
		}),
	}
	rangeFlags(cmd, &from, &to)
	limitFlag(cmd, &limit)
	return cmd
}

func jobExplain(s *session) *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use: "explain ID", Short: "what happened and why, in words", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request := &carillonv1.ExplainJobRequest{JobId: args[0]}
			var err error
			if request.From, err = instant("from", from); err != nil {
				return err
			}
			if request.To, err = instant("to", to); err != nil {
				return err
			}
			answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.ExplainJob, request)
			if err != nil {
				return err
			}
			if s.output == "table" {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n", plain(answer.GetSummary()))
			}
			return s.print(cmd.OutOrStdout(), answer, func() *table {
				t := &table{}
				for _, e := range answer.GetExplanations() {
					t.add(e.GetText())
				}
				return t
			})
		}),
	}
	rangeFlags(cmd, &from, &to)
	return cmd
}

// occurrenceCommand is a command about one occurrence, named by its time.
func (s *session) occurrenceCommand(use, short string, args int,
	do func(ctx context.Context, c carillonv1.JobServiceClient, args []string) (*carillonv1.Occurrence, error),
) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			conn, err := s.dial(ctx)
			if err != nil {
				return err
			}
			answer, err := do(ctx, carillonv1.NewJobServiceClient(conn), args)
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, occurrenceTable(answer))
		}),
	}
}

func jobSkip(s *session) *cobra.Command {
	return s.occurrenceCommand("skip ID TIME", "let one occurrence pass", 2,
		func(ctx context.Context, c carillonv1.JobServiceClient, args []string) (*carillonv1.Occurrence, error) {
			when, err := needInstant("TIME", args[1])
			if err != nil {
				return nil, err
			}
			return c.SkipOccurrence(ctx, &carillonv1.SkipOccurrenceRequest{JobId: args[0], ScheduledFor: when})
		})
}

func jobMove(s *session) *cobra.Command {
	return s.occurrenceCommand("move ID TIME NEW-TIME", "start one occurrence at another time", 3,
		func(ctx context.Context, c carillonv1.JobServiceClient, args []string) (*carillonv1.Occurrence, error) {
			when, err := needInstant("TIME", args[1])
			if err != nil {
				return nil, err
			}
			to, err := needInstant("NEW-TIME", args[2])
			if err != nil {
				return nil, err
			}
			return c.MoveOccurrence(ctx, &carillonv1.MoveOccurrenceRequest{JobId: args[0], ScheduledFor: when, MoveTo: to})
		})
}

func jobRestore(s *session) *cobra.Command {
	return s.occurrenceCommand("restore ID TIME", "undo skip or move", 2,
		func(ctx context.Context, c carillonv1.JobServiceClient, args []string) (*carillonv1.Occurrence, error) {
			when, err := needInstant("TIME", args[1])
			if err != nil {
				return nil, err
			}
			return c.RestoreOccurrence(ctx, &carillonv1.RestoreOccurrenceRequest{JobId: args[0], ScheduledFor: when})
		})
}
