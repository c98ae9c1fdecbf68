package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func clientCommand(s *session) *cobra.Command {
	return parent("client", "programs that may sign in; for the operator", clientList(s), clientCreate(s), clientReset(s), clientDelete(s))
}

func clientTable(clients ...*carillonv1.Client) func() *table {
	return func() *table {
		t := &table{head: []string{"ID", "TITLE", "SCOPES", "INSTANCES", "CREATED"}}
		for _, c := range clients {
			t.add(c.GetId(), c.GetTitle(), strings.Join(c.GetScopes(), " "), strings.Join(c.GetInstanceIds(), " "), at(c.GetCreatedAt()))
		}
		return t
	}
}

func clientList(s *session) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "clients, newest first", Args: cobra.NoArgs,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			all := &carillonv1.ListClientsResponse{}
			err := pages(limit, func(size int32, token string) (int, string, error) {
				answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListClients,
					&carillonv1.ListClientsRequest{PageSize: size, PageToken: token})
				all.Clients = append(all.Clients, answer.GetClients()...)
				return len(answer.GetClients()), answer.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, clientTable(all.GetClients()...))
		}),
	}
	limitFlag(cmd, &limit)
	return cmd
}

func clientCreate(s *session) *cobra.Command {
	client := &carillonv1.Client{}
	cmd := &cobra.Command{
		Use: "create TITLE", Short: "make a client; its secret is shown this once", Args: cobra.ExactArgs(1),
		Example: `  carillon client create acme-backend --scope 'instance-*' --for inst_1`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			client.Title = args[0]
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.CreateClient, &carillonv1.CreateClientRequest{Client: client})
			if err != nil {
				return err
			}
			return s.withSecret(cmd, answer, answer.GetClientSecret(), clientTable(answer))
		}),
	}
	cmd.Flags().StringSliceVar(&client.Scopes, "scope", nil, "what it may do; may be repeated")
	cmd.Flags().StringSliceVar(&client.InstanceIds, "for", nil, "`instance` that it is linked to; may be repeated")
	return cmd
}

func clientReset(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "reset-secret ID", Short: "give a client a new secret; the old one and its tokens end at once", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ResetClientSecret, &carillonv1.ResetClientSecretRequest{ClientId: args[0]})
			if err != nil {
				return err
			}
			return s.withSecret(cmd, answer, answer.GetClientSecret(), clientTable(answer))
		}),
	}
}

func clientDelete(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "delete a client; its tokens end at once", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			_, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.DeleteClient, &carillonv1.DeleteClientRequest{ClientId: args[0]})
			if err == nil {
				say(cmd, "deleted %s", args[0])
			}
			return err
		}),
	}
}
