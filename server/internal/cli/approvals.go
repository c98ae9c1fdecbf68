package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func executionApprove(s *session) *cobra.Command {
	request := &carillonv1.ApproveExecutionRequest{}
	cmd := &cobra.Command{
		Use: "approve ID --digest DIGEST", Short: "let it go on with exactly the plan that the digest stands for", Args: cobra.ExactArgs(1),
		Long: `Let an execution that waits for approval go on with exactly the plan that the
digest stands for; carillon execution get shows both. A plan that has changed
since is refused.`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request.ExecutionId = args[0]
			e, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.ApproveExecution, request)
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), e, executionTable(e))
		}),
	}
	cmd.Flags().StringVar(&request.Digest, "digest", "", "of the plan as you have seen it")
	_ = cmd.MarkFlagRequired("digest")
	return cmd
}

func executionReject(s *session) *cobra.Command {
	request := &carillonv1.RejectExecutionRequest{}
	cmd := &cobra.Command{
		Use: "reject ID", Short: "end one that waits for approval", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request.ExecutionId = args[0]
			e, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.RejectExecution, request)
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), e, executionTable(e))
		}),
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for people")
	return cmd
}

func executionFiles(s *session) *cobra.Command {
	request := &carillonv1.ListExecutionFilesRequest{}
	var action, state string
	var limit int
	cmd := &cobra.Command{
		Use: "files ID", Short: "what became of each file", Args: cobra.ExactArgs(1),
		Example: `  carillon execution files exec_100 --state FAILED
  carillon execution files exec_100 --prefix scans/ --limit 0 -o json | jq -r '.files[].path'`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request.ExecutionId = args[0]
			var err error
			if request.Action, err = enum[carillonv1.ExecutionFile_Action]("action", action, carillonv1.ExecutionFile_Action_name); err != nil {
				return err
			}
			if request.State, err = enum[carillonv1.ExecutionFile_State]("state", state, carillonv1.ExecutionFile_State_name); err != nil {
				return err
			}
			all := &carillonv1.ListExecutionFilesResponse{}
			err = pages(limit, func(size int32, token string) (int, string, error) {
				request.PageSize, request.PageToken = size, token
				answer, err := call(ctx, s, carillonv1.NewExecutionServiceClient, carillonv1.ExecutionServiceClient.ListExecutionFiles, request)
				all.Files = append(all.Files, answer.GetFiles()...)
				return len(answer.GetFiles()), answer.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, fileTable(all.GetFiles()))
		}),
	}
	cmd.Flags().StringVar(&action, "action", "", "only these: COPY, UPDATE, DELETE or CONFLICT")
	cmd.Flags().StringVar(&state, "state", "", "only these: DONE, FAILED, SKIPPED, PLANNED or UNKNOWN")
	cmd.Flags().StringVar(&request.PathPrefix, "prefix", "", "only files whose path begins so")
	limitFlag(cmd, &limit)
	return cmd
}

func fileTable(files []*carillonv1.ExecutionFile) func() *table {
	return func() *table {
		t := &table{head: []string{"ACTION", "STATE", "SIZE", "REMOTE", "PATH", "REASON"}}
		for _, f := range files {
			size := ""
			if f.GetSize() >= 0 {
				size = strconv.FormatInt(f.GetSize(), 10)
			}
			t.add(f.GetAction().String(), f.GetState().String(), size, f.GetRemote(), f.GetPath(), f.GetReason())
		}
		return t
	}
}

func jobPlan(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "plan ID", Short: "what a run would do with files now; nothing is changed", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.PlanJob, &carillonv1.PlanJobRequest{JobId: args[0]})
			if err != nil {
				return err
			}
			if s.output == "table" {
				return writePlans(cmd.OutOrStdout(), answer.GetPlans(), answer.GetUnplannedTasks())
			}
			return s.print(cmd.OutOrStdout(), answer, nil)
		}),
	}
}

// writePlans tells plans to people.
func writePlans(out io.Writer, plans []*carillonv1.Plan, unplanned []string) error {
	var text strings.Builder
	for _, p := range plans {
		fmt.Fprintf(&text, "%s to %s: %d files in the source, %d equal already\n", plain(p.GetTask()), plain(p.GetRemote()), p.GetFound(), p.GetUnchanged())
		for _, part := range []struct {
			what string
			of   *carillonv1.Plan_Part
		}{{"copy", p.GetCopy()}, {"update", p.GetUpdate()}, {"delete", p.GetDelete()}, {"conflict", p.GetConflicts()}} {
			if part.of.GetFiles() > 0 {
				fmt.Fprintf(&text, "  %s %d (%s): %s\n", part.what, part.of.GetFiles(), size(part.of.GetBytes()), plain(strings.Join(part.of.GetSamples(), ", ")))
			}
		}
		for _, e := range []*carillonv1.Execution_Error{p.GetGuard(), p.GetError()} {
			if e != nil {
				fmt.Fprintf(&text, "  %s: %s\n", plain(e.GetReason()), plain(e.GetMessage()))
			}
		}
		if p.GetIncomplete() {
			text.WriteString("  time ran out: the numbers are those so far\n")
		}
	}
	for _, task := range unplanned {
		fmt.Fprintf(&text, "%s can't tell beforehand\n", plain(task))
	}
	_, err := io.WriteString(out, text.String())
	return err
}
