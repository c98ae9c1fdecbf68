package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pointscene/carillon/server"
)

func migrateCommand() *cobra.Command {
	c := server.DefaultConfig()
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "bring the database's tables up to date",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			applied, err := server.Migrate(cmd.Context(), c)
			if err != nil {
				return err
			}
			if len(applied) == 0 {
				cmd.Println("nothing to do: the tables are up to date")
			}
			for _, name := range applied {
				cmd.Println("applied", name)
			}
			return nil
		},
	}
	commonFlags(cmd, &c, c.ValidateStorage)
	return cmd
}

func tokenCommand() *cobra.Command {
	c := server.DefaultConfig()
	var scope string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "print a bearer token, for the operator on this machine",
		Example: `  curl -H "Authorization: Bearer $(carillon token --scope operator)" http://127.0.0.1:8080/v1/instances`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if scope == "" {
				return usageError{errors.New(`--scope is needed, such as --scope "operator"`)}
			}
			if c.OIDCIssuer != "" {
				return usageError{fmt.Errorf("--oidc-issuer: tokens come from %s, and a server that trusts it takes none of this command", c.OIDCIssuer)}
			}
			if err := server.CheckToken(scope, ttl); err != nil {
				return usageError{err}
			}
			token, err := server.OperatorToken(cmd.Context(), c, scope, ttl)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Reveal())
			return err
		},
	}
	commonFlags(cmd, &c, c.ValidateStorage)
	cmd.Flags().StringVar(&c.OIDCIssuer, "oidc-issuer", "", "`URL` of the outside issuer that the server trusts: this command is off then")
	cmd.Flags().StringVar(&scope, "scope", "", "what the token may do, space separated, such as `operator` or instance-read-42")
	cmd.Flags().DurationVar(&ttl, "ttl", 4*time.Hour, "how long it lives")
	return cmd
}
