package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// watchExecutions prints executions as they change, one line each.
func (s *session) watchExecutions(ctx context.Context, cmd *cobra.Command, instance, job string) error {
	var format func(*carillonv1.Execution) ([]byte, error)
	switch s.output {
	case "json":
		format = func(e *carillonv1.Execution) ([]byte, error) { return messageLine(e) }
	case "yaml":
		format = func(e *carillonv1.Execution) ([]byte, error) { return messageDocument(e) }
	default:
		format = func(e *carillonv1.Execution) ([]byte, error) {
			row := executionRow(e)
			return fmt.Appendf(nil, "%-12s %-10s %-9s %-20s %-20s %-8s %s", row[0], row[1], row[2], row[3], row[4], row[6], plain(row[7])), nil
		}
	}
	return s.watch(ctx, &carillonv1.WatchExecutionsRequest{InstanceId: instance, JobId: job}, func(e *carillonv1.Execution) error {
		text, err := format(e)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
		return err
	})
}

// watch calls see for each execution that changes, resuming where a stream was
// cut off.
func (s *session) watch(ctx context.Context, request *carillonv1.WatchExecutionsRequest, see func(*carillonv1.Execution) error) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	client := carillonv1.NewExecutionServiceClient(conn)
	return resume(ctx, func() (bool, error) {
		stream, err := client.WatchExecutions(ctx, request)
		if err != nil {
			return false, err
		}
		for came := false; ; came = true {
			answer, err := stream.Recv()
			if err != nil {
				return came, err
			}
			request.Cursor = answer.GetCursor()
			if answer.GetExecution() == nil {
				continue
			}
			if err := see(answer.GetExecution()); err != nil {
				return came, err
			}
		}
	})
}

// onChange shows something now and again whenever an execution of the instance
// has changed, at most once a second.
func (s *session) onChange(ctx context.Context, cmd *cobra.Command, instance string, show func() error) error {
	if err := show(); err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- s.watch(ctx, &carillonv1.WatchExecutionsRequest{InstanceId: instance}, func(*carillonv1.Execution) error {
			select {
			case changed <- struct{}{}:
			default: // one is noted already
			}
			return nil
		})
	}()
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-pause.C:
		}
		select {
		case <-changed:
			if s.output == "table" {
				_, _ = fmt.Fprintln(cmd.OutOrStdout())
			}
			if err := show(); err != nil {
				return err
			}
		default:
		}
	}
}
