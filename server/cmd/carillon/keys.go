package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/keys"
	"github.com/pointscene/carillon/server/internal/store"
)

// keysCommand works on the database and the keyset file themselves, whether or
// not a server runs on them.
func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "rotate the keys that credentials are sealed and tokens are signed with",
		Long: `Rotate the keys that credentials are sealed and tokens are signed with, whether
or not servers run.

A rotation of the sealing key is add, promote, rewrap, disable and, a day later,
destroy. Servers follow within seconds and nothing stops meanwhile; each command
may be repeated, also after it was killed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(keysWrapCommand(), keysListCommand(), keysAddCommand(), keysPromoteCommand(), keysRewrapCommand(), keysDisableCommand(), keysDestroyCommand(),
		keysRotateCommand("rotate-tokens", "tokens", auth.PurposeToken), keysRotateCommand("rotate-links", "signed links to logs", auth.PurposeLink))
	return cmd
}

func keysWrapCommand() *cobra.Command {
	c := server.DefaultConfig()
	cmd := &cobra.Command{
		Use:   "wrap",
		Short: "encrypt a keyset file that lies in the clear by the key of --keyset-kms",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := server.WrapKeyset(cmd.Context(), c, server.Command{Path: cmd.CommandPath(), Method: audit.WrapKeyset}); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "done: start every server with the same --keyset-kms, and delete copies and backups of the file in the clear")
			return err
		},
	}
	commonFlags(cmd, &c, c.ValidateStorage)
	return cmd
}

// keysSubcommand is a command that does one thing with the keys, as method does;
// "" is for one that changes nothing.
func keysSubcommand(method, use, short string, args cobra.PositionalArgs, do func(ctx context.Context, s *keys.Service, out io.Writer, args []string) error) *cobra.Command {
	c := server.DefaultConfig()
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			command := server.Command{Path: cmd.CommandPath(), Method: method}
			if len(args) > 0 {
				command.Object = keyText(parsedKey(args))
			}
			return server.WithKeys(cmd.Context(), c, command, func(ctx context.Context, s *keys.Service) error {
				return do(ctx, s, cmd.OutOrStdout(), args)
			})
		},
	}
	commonFlags(cmd, &c, c.ValidateStorage)
	return cmd
}

func keysListCommand() *cobra.Command {
	return keysSubcommand("", "list", "list the keys, what they seal and who holds them", cobra.NoArgs,
		func(ctx context.Context, s *keys.Service, out io.Writer, _ []string) error {
			list, err := s.List(ctx)
			if err != nil {
				return err
			}
			signing, err := s.ListSigning(ctx)
			if err != nil {
				return err
			}
			return printKeys(out, list, signing)
		})
}

func printKeys(out io.Writer, list keys.List, signing []store.SigningKey) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SEALING KEY\tSTATE\tSINCE\tSEALS\tMISSING AT\tSEALING AT")
	for _, k := range list.Keys {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", keyText(k.ID), k.State, k.ChangedAt.Format(time.RFC3339),
			counted(int(k.Sealed), "value"), orDash(strings.Join(k.MissingAt, ", ")), orDash(strings.Join(k.SealingAt, ", ")))
	}
	_, _ = fmt.Fprintln(table, "\nSIGNING KEY\tPURPOSE\tMADE\tSIGNS FROM\tVALID UNTIL")
	for _, k := range signing {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.Purpose, k.CreatedAt.Format(time.RFC3339), when(k.ActiveAt), when(k.RetiresAt))
	}
	return table.Flush()
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func keyText(id uint32) string { return job.KindKey.Format(int64(id)) }

// oneKey is the argument KEY.
func oneKey(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return usageError{errors.New("name one key, such as key_3735928559; `carillon keys list` tells which there are")}
	}
	if id, ok := job.KindKey.Parse(args[0]); !ok || int64(uint32(id)) != id {
		return usageError{fmt.Errorf("%q is no key, such as key_3735928559", args[0])}
	}
	return nil
}

func parsedKey(args []string) uint32 {
	id, _ := job.KindKey.Parse(args[0]) // oneKey has seen it
	return uint32(id)
}

func keysAddCommand() *cobra.Command {
	return keysSubcommand(carillonv1.KeyService_AddKey_FullMethodName, "add", "add a key to the keyset file", cobra.NoArgs,
		func(ctx context.Context, s *keys.Service, out io.Writer, _ []string) error {
			key, err := s.Add(ctx)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, keyText(key.ID))
			return err
		})
}

func keysPromoteCommand() *cobra.Command {
	return patientCommand(carillonv1.KeyService_PromoteKey_FullMethodName, "promote KEY", "make a key the one that seals, once every replica holds it",
		func(ctx context.Context, s *keys.Service, id uint32) error {
			_, err := s.Promote(ctx, id)
			return err
		}, keys.ReasonKeyUnknown)
}

func keysDisableCommand() *cobra.Command {
	return patientCommand(carillonv1.KeyService_DisableKey_FullMethodName, "disable KEY", "take a key out of use that seals nothing any more",
		func(ctx context.Context, s *keys.Service, id uint32) error {
			_, err := s.Disable(ctx, id)
			return err
		}, keys.ReasonKeyInUse)
}

// patientCommand repeats what is refused only because replicas have not
// followed yet.
func patientCommand(method, use, short string, do func(context.Context, *keys.Service, uint32) error, notYet string) *cobra.Command {
	wait := 30 * time.Second
	cmd := keysSubcommand(method, use, short, oneKey, func(ctx context.Context, s *keys.Service, out io.Writer, args []string) error {
		err := until(ctx, wait, notYet, func() error { return do(ctx, s, parsedKey(args)) })
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, "done")
		return err
	})
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long replicas may take to follow")
	return cmd
}

func until(ctx context.Context, wait time.Duration, notYet string, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		err := do()
		var refused *job.PreconditionError
		if !errors.As(err, &refused) || refused.Reason != notYet {
			return err
		}
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

func keysRewrapCommand() *cobra.Command {
	return keysSubcommand(carillonv1.KeyService_RewrapKeys_FullMethodName, "rewrap", "seal everything anew by the primary key", cobra.NoArgs,
		func(ctx context.Context, s *keys.Service, out io.Writer, _ []string) error {
			for {
				rewrapped, remaining, err := s.Rewrap(ctx)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(out, "sealed %s anew, %d left\n", counted(int(rewrapped), "value"), remaining); err != nil {
					return err
				}
				if remaining == 0 {
					return nil
				}
			}
		})
}

func keysDestroyCommand() *cobra.Command {
	force := false
	cmd := keysSubcommand(carillonv1.KeyService_DestroyKey_FullMethodName, "destroy KEY", "delete a key from the keyset file that has been disabled for a day", oneKey,
		func(ctx context.Context, s *keys.Service, out io.Writer, args []string) error {
			if _, err := s.Destroy(ctx, parsedKey(args), force); err != nil {
				return err
			}
			_, err := fmt.Fprintln(out, "done")
			return err
		})
	cmd.Flags().BoolVar(&force, "force", false, "also when it was disabled less than a day ago")
	return cmd
}

func keysRotateCommand(name, signs, purpose string) *cobra.Command {
	revoke := false
	cmd := keysSubcommand(carillonv1.KeyService_RotateSigningKey_FullMethodName, name, "make a new key for "+signs, cobra.NoArgs,
		func(ctx context.Context, s *keys.Service, out io.Writer, _ []string) error {
			key, err := s.RotateSigning(ctx, purpose, revoke)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, key.ID)
			return err
		})
	cmd.Flags().BoolVar(&revoke, "revoke", false, "end all "+signs+" of the older keys now")
	return cmd
}
