package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func executionCommand(s *session) *cobra.Command {
	return parent("execution", "what ran, and what became of it",
		executionList(s), executionGet(s), executionLog(s), executionFiles(s), executionWait(s), executionCancel(s), executionApprove(s), executionReject(s))
}

func executionRow(e *carillonv1.Execution) []string {
	reason := e.GetError().GetReason()
	if reason != "" {
		reason += ": " + e.GetError().GetMessage()
	}
	return []string{e.GetId(), e.GetJobId(), e.GetTrigger().String(), e.GetState().String(), at(e.GetScheduledFor()), at(e.GetStartedAt()), took(e.GetStartedAt(), e.GetFinishedAt()), reason}
}

var executionHead = []string{"ID", "JOB", "TRIGGER", "STATE", "SCHEDULED FOR", "STARTED", "TOOK", "REASON"}

func executionTable(executions ...*carillonv1.Execution) func() *table {
	return func() *table {
		t := &table{head: executionHead}
		for _, e := range executions {
			t.add(executionRow(e)...)
		}
		return t
	}
}

func executionList(s *session) *cobra.Command {
	var limit int
	var job string
	var watch bool
	cmd := &cobra.Command{
		Use: "list", Short: "executions of the instance or of one job, newest first", Args: cobra.NoArgs,
		Example: `  carillon execution list --job job_19
  carillon execution list --watch -o json | jq -r 'select(.state == "FAILED") | .id'`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			request := &carillonv1.ListExecutionsRequest{JobId: job}
			if watch || job == "" {
				instance, err := s.needInstance()
				if err != nil {
					return err
				}
				if watch {
					return s.watchExecutions(ctx, cmd, instance, job)
				}
				request.InstanceId = instance
			}
			all := &carillonv1.ListExecutionsResponse{}
			err := pages(limit, func(size int32, token string) (int, string, error) {
				request.PageSize, request.PageToken = size, token
				answer, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.ListExecutions, request)
				all.Executions = append(all.Executions, answer.GetExecutions()...)
				return len(answer.GetExecutions()), answer.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, executionTable(all.GetExecutions()...))
		}),
	}
	limitFlag(cmd, &limit)
	cmd.Flags().StringVar(&job, "job", "", "only of this job; its `id`")
	_ = cmd.RegisterFlagCompletionFunc("job", s.complete(jobIDs))
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show those that have not ended, then every change, until interrupted")
	return cmd
}

func (s *session) execution(ctx context.Context, id string) (*carillonv1.Execution, error) {
	return call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.GetExecution, &carillonv1.GetExecutionRequest{ExecutionId: id})
}

func executionGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "one execution with its tasks", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			e, err := s.execution(ctx, args[0])
			if err != nil {
				return err
			}
			if err := s.print(cmd.OutOrStdout(), e, executionDetails(e)); err != nil || s.output != "table" || e.GetApproval() == nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "\napproval  %s, digest %s, expires %s\n", e.GetApproval().GetState(), e.GetApproval().GetDigest(), at(e.GetApproval().GetExpiresAt()))
			return writePlans(cmd.OutOrStdout(), e.GetApproval().GetPlans(), nil)
		}),
	}
}

func executionDetails(e *carillonv1.Execution) func() *table {
	return func() *table {
		t := &table{}
		t.add("id", e.GetId())
		t.add("job", e.GetJobId())
		t.add("trigger", strings.TrimSpace(e.GetTrigger().String()+" "+e.GetTriggerId()))
		t.add("state", e.GetState().String())
		if w := e.GetWaitingFor(); w != nil {
			t.add("waits", strings.TrimSpace(w.GetReason()+" "+w.GetExecutionId()))
		}
		t.add("scheduled for", at(e.GetScheduledFor()))
		t.add("started", at(e.GetStartedAt()))
		t.add("took", took(e.GetStartedAt(), e.GetFinishedAt()))
		t.add("attempt", fmt.Sprint(e.GetAttempt()))
		if reason := e.GetError(); reason != nil {
			t.add("error", reason.GetReason()+": "+reason.GetMessage())
		}
		for _, task := range e.GetTasks() {
			text := task.GetState().String()
			if d := took(task.GetStartedAt(), task.GetFinishedAt()); d != "" {
				text += " in " + d
			}
			if c := task.GetCounters(); c != nil {
				text += ", " + counted(c) + ", " + size(c.GetBytes())
			}
			// What is the execution's error already is not told again.
			if reason := task.GetError(); reason != nil && !strings.Contains(e.GetError().GetMessage(), reason.GetMessage()) {
				text += ", " + reason.GetReason() + ": " + reason.GetMessage()
			}
			t.add("task "+task.GetName(), text)
		}
		return t
	}
}

func executionWait(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "wait ID", Short: "until it has ended; exit code 0 only if it succeeded", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			e, err := s.execution(ctx, args[0])
			if err != nil {
				return err
			}
			return s.toTheEnd(ctx, cmd, e, false)
		}),
	}
}

func executionCancel(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "end it", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			e, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.CancelExecution, &carillonv1.CancelExecutionRequest{ExecutionId: args[0]})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), e, executionTable(e))
		}),
	}
}

// toTheEnd waits for an execution to end, shows its log meanwhile if asked to,
// prints it, and fails unless it succeeded.
func (s *session) toTheEnd(ctx context.Context, cmd *cobra.Command, e *carillonv1.Execution, follow bool) error {
	lines := io.Discard
	if follow {
		lines = cmd.ErrOrStderr()
	}
	// The log's end is the execution's.
	err := s.tailWithProgress(ctx, cmd, lines, &carillonv1.TailLogRequest{ExecutionId: e.GetId(), Follow: true})
	if err != nil {
		return err
	}
	e, err = s.execution(ctx, e.GetId())
	if err != nil {
		return err
	}
	if err := s.print(cmd.OutOrStdout(), e, executionDetails(e)); err != nil {
		return err
	}
	if !e.GetSuccess().GetValue() {
		return negative("%s ended %s", e.GetId(), e.GetState())
	}
	return nil
}

// lost says whether a stream ended for a reason that another try may cure.
func lost(err error) bool {
	return status.Code(err) == codes.Unavailable
}
