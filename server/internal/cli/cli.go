package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Commands are the client commands, each ready to be added to the program's
// root. Their errors are [Exit] values.
func Commands() []*cobra.Command {
	s := &session{}
	all := []*cobra.Command{
		loginCommand(s), logoutCommand(),
		instanceCommand(s), resourceCommand(s), clientCommand(s), configCommand(s),
		jobCommand(s), backfillCommand(s), executionCommand(s), scheduleCommand(s),
		webhookCommand(s), deliveryCommand(s),
		exportCommand(s), diffCommand(s), applyCommand(s),
	}
	for _, cmd := range all {
		cmd.GroupID = Group.ID
		if cmd.Name() != "logout" {
			s.addFlags(cmd)
		}
		addExamples(cmd, cmd.Name())
		if list, ok := listings[cmd.Name()]; ok {
			completeIDs(s, list, cmd.Commands()...)
		}
	}
	return all
}

// Group is the group of the commands in the program's help.
var Group = &cobra.Group{ID: "client", Title: "Commands for a running service:"}

// run makes a command's body: it opens the session first, and explains the
// service's refusal.
func (s *session) run(body func(ctx context.Context, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := s.open(cmd); err != nil {
			return explain(err)
		}
		defer s.close()
		err := body(cmd.Context(), cmd, args)
		if err != nil && cmd.Context().Err() != nil {
			return &Exit{ExitInterrupted, errors.New("interrupted")}
		}
		return explain(err)
	}
}

func (s *session) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// call makes one unary call with a client of a service.
func call[C any, Q, A proto.Message](ctx context.Context, s *session, client func(grpc.ClientConnInterface) C,
	method func(C, context.Context, Q, ...grpc.CallOption) (A, error), request Q,
) (A, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		var none A
		return none, err
	}
	return method(client(conn), ctx, request)
}

// pages reads the pages of a list until there are enough rows or no more; with
// limit 0 all of them. A page gives its next token.
func pages(limit int, page func(size int32, token string) (rows int, next string, err error)) error {
	have, token := 0, ""
	for {
		size := 1000
		if limit > 0 {
			size = min(size, limit-have)
		}
		rows, next, err := page(int32(size), token)
		if err != nil {
			return err
		}
		have, token = have+rows, next
		if token == "" || limit > 0 && have >= limit {
			return nil
		}
	}
}

// parent is a command that only groups others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(children...)
	return cmd
}
