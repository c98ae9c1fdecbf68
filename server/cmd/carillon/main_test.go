package main

import (
	"errors"
	"io"
	"strings"
	"testing"
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
