package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func executionLog(s *session) *cobra.Command {
	request := &carillonv1.TailLogRequest{}
	cmd := &cobra.Command{
		Use: "log ID", Short: "its log", Args: cobra.ExactArgs(1),
		Example: `  carillon execution log exec_100 --follow
  carillon execution log exec_100 --tail 20
  carillon execution log exec_100 --level WARN --search plan.dwg`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request.ExecutionId, request.Level = args[0], strings.ToUpper(request.GetLevel())
			if request.GetFollow() && s.output == "table" {
				return s.tailWithProgress(ctx, cmd, cmd.OutOrStdout(), request)
			}
			format := logText
			switch s.output {
			case "json":
				format = func(line *carillonv1.TailLogResponse) ([]byte, error) { return messageLine(line) }
			case "yaml":
				format = func(line *carillonv1.TailLogResponse) ([]byte, error) { return messageDocument(line) }
			}
			return s.tail(ctx, cmd.OutOrStdout(), request, format)
		}),
	}
	cmd.Flags().BoolVarP(&request.Follow, "follow", "F", false, "wait for further lines until the execution has ended")
	cmd.Flags().Int32Var(&request.Last, "tail", 0, "begin with the last so many lines")
	cmd.Flags().StringVar(&request.Level, "level", "", "the least severe `level`: DEBUG, INFO, WARN or ERROR")
	cmd.Flags().StringVar(&request.Search, "search", "", "only lines that contain this `text`, in any case")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions([]string{"DEBUG", "INFO", "WARN", "ERROR"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// tail writes the lines of a log. A stream that breaks is resumed where it was.
func (s *session) tail(ctx context.Context, out io.Writer, request *carillonv1.TailLogRequest, format func(*carillonv1.TailLogResponse) ([]byte, error)) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	client := carillonv1.NewExecutionServiceClient(conn)
	return resume(ctx, func() (bool, error) {
		stream, err := client.TailLog(ctx, request)
		if err != nil {
			return false, err
		}
		for came := false; ; came = true {
			line, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return came, nil
			}
			if err != nil {
				return came, err
			}
			text, err := format(line)
			if err != nil {
				return came, err
			}
			if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
				return came, err
			}
			request.Cursor, request.Last = line.GetCursor(), 0
		}
	})
}

// resume repeats a stream that was cut off, up to five times in a row without
// anything new. read says whether anything came.
func resume(ctx context.Context, read func() (came bool, err error)) error {
	wait := 200 * time.Millisecond
	for failures := 0; ; failures++ {
		came, err := read()
		if came {
			failures, wait = 0, 200*time.Millisecond
		}
		if !lost(err) || failures == 5 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// logText is a line for people: time, level, task, text, facts.
func logText(line *carillonv1.TailLogResponse) ([]byte, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %-5s", line.GetTime().AsTime().UTC().Format("15:04:05.000"), plain(line.GetLevel()))
	if line.GetTask() != "" {
		fmt.Fprintf(&text, " [%s]", plain(line.GetTask()))
	}
	text.WriteString(" " + plain(line.GetMessage()))
	if attributes := line.GetAttributes(); len(attributes.GetFields()) > 0 {
		facts, err := messageLine(attributes)
		if err != nil {
			return nil, err
		}
		text.WriteString(" " + plain(string(facts)))
	}
	return []byte(text.String()), nil
}
