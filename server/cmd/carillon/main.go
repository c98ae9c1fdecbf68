// Command carillon is the whole service in one program: the server and the
// commands that its operator needs on the same machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	_ "time/tzdata" // for machines without zoneinfo; the system's own comes first

	"github.com/spf13/cobra"

	"github.com/pointscene/carillon/server"
	"github.com/pointscene/carillon/server/internal/cli"
)

// version is set by the build.
var version = "unknown"

// usageError is a mistake in the call, not in the work.
type usageError struct{ error }

func (usageError) ExitCode() int { return cli.ExitUsage }

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup wants to outlive its terminal
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	err := root().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "carillon:", err)
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		os.Exit(coded.ExitCode())
	}
	os.Exit(1)
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "carillon",
		Short: "Scheduled jobs as a service",
		Long: `Scheduled jobs as a service.

Every flag has an environment variable: --http-addr is CARILLON_HTTP_ADDR. A
flag beats its variable, which beats the file named by --config (YAML, keys as
the flags), which beats the default.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetOut(os.Stdout) // cobra's own Println would go to the standard error
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.AddGroup(&cobra.Group{ID: "server", Title: "Commands on the server's machine:"}, cli.Group)
	for _, own := range []*cobra.Command{serveCommand(), migrateCommand(), tokenCommand(), keysCommand(), doctorCommand()} {
		own.GroupID = "server"
		cmd.AddCommand(own)
	}
	cmd.AddCommand(versionCommand())
	cmd.AddCommand(cli.Commands()...)
	refuseArguments(cmd)
	return cmd
}

// refuseArguments makes wrong arguments of any command, and flags that are missing
// or contradict each other, a mistake in the call, as wrong flags are, and says what
// to write instead.
func refuseArguments(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{fmt.Errorf("%w\n  %s", err, instead(cmd, args))}
			}
			// cobra looks at the flags as well, later, and its errors have no code.
			if err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil {
				return usageError{errors.New(flagMistake(err.Error()))}
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		refuseArguments(child)
	}
}

// instead is what to write for arguments that a command does not take.
func instead(cmd *cobra.Command, args []string) string {
	if !cmd.HasAvailableSubCommands() {
		return "usage: " + cmd.UseLine() + "; --help has examples"
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return "did you mean " + cmd.CommandPath() + " " + strings.Join(near, " or ") + "?"
	}
	return cmd.CommandPath() + " --help lists the commands"
}

var (
	together = regexp.MustCompile(`\[([^] ]+) ([^] ]+)[^]]*\] were all set$`)
	missing  = regexp.MustCompile(`^required flag\(s\) "([^"]+)".* not set$`)
)

// flagMistake is what cobra says of flags that exclude each other or are missing,
// in our words.
func flagMistake(text string) string {
	if m := together.FindStringSubmatch(text); m != nil {
		return "--" + m[1] + " and --" + m[2] + " exclude each other"
	}
	if m := missing.FindStringSubmatch(text); m != nil {
		return "--" + m[1] + " is needed"
	}
	return text
}

func versionCommand() *cobra.Command {
	c := server.DefaultConfig()
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
	// Scripts give every command the same flags; this one reads none of them.
	storageFlags(cmd.Flags(), &c)
	return cmd
}
