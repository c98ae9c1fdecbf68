package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Scripts tell a mistake in the call from a negative answer by its exit code.
func TestMistakesInTheCall(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		"nothing", "job nothing", "job get", "job get job_1 job_2", "job list --nothing",
		"apply", "diff", "config add res_1", "config test res_1 --write=maybe", "execution approve exec_1",
		"schedule preview", "schedule preview --cron @daily --interval 5", "job create --manual --interval 5",
	} {
		cmd := root()
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SetArgs(strings.Fields(call))
		err := cmd.ExecuteContext(t.Context())
		var coded interface{ ExitCode() int }
		if !errors.As(err, &coded) || coded.ExitCode() != 2 {
			t.Errorf("%s: %v, want the exit code 2", call, err)
		}
	}
}

// Scripts give every command the same flags.
func TestEveryCommandKnowsTheStorage(t *testing.T) {
	t.Parallel()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		for _, name := range []string{"data-dir", "database-url", "keyset"} {
			if cmd.HasParent() && !cmd.HasSubCommands() && cmd.Flag(name) == nil {
				t.Errorf("%s does not take --%s", cmd.CommandPath(), name)
			}
		}
	}
	walk(root())
}
