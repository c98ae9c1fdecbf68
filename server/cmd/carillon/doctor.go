package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pointscene/carillon/server"
	"github.com/pointscene/carillon/server/internal/cli"
)

// unseen says that the look did not succeed: scripts must not take that for
// violations.
type unseen struct{ error }

func (unseen) ExitCode() int { return cli.ExitUnavailable }

func doctorCommand() *cobra.Command {
	c := server.DefaultConfig()
	o := server.DefaultDoctorOptions()
	var everything bool
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "look for broken promises of the engine in the database",
		Long: `Look for broken promises of the engine in the database, whether or not a
server runs on it: overdue jobs, orphaned and stuck executions, due instants
that are told by nothing or twice, and rows of the ledger that should be one.
It only reads. The exit code is 0 when nothing is wrong, 1 when something is, 2
for a mistake in the call, and 3 when the database could not be read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDoctor(o, output); err != nil {
				return usageError{err}
			}
			if everything {
				o.Jobs, o.Executions = 0, 0
			}
			report, err := server.Doctor(cmd.Context(), c, o)
			if err != nil {
				return unseen{err}
			}
			if err := printReport(cmd.OutOrStdout(), report, output); err != nil {
				return unseen{err}
			}
			if n := len(report.Violations); n > 0 {
				return errors.New("found " + counted(n, "violation"))
			}
			return nil
		},
	}
	commonFlags(cmd, &c, c.ValidateStorage)
	f := cmd.Flags()
	f.DurationVar(&o.Window, "window", o.Window, "how far back ledgers are looked at, within the retention")
	f.IntVar(&o.Jobs, "jobs", o.Jobs, "how many of the newest jobs have their ledgers looked at")
	f.IntVar(&o.Executions, "executions", o.Executions, "how many of the newest executions are looked at for doubles")
	f.BoolVar(&everything, "all", false, "look at all jobs and executions")
	f.DurationVar(&o.OverdueAfter, "overdue-after", o.OverdueAfter, "how late the ticker may come by a job")
	f.DurationVar(&o.StuckAfter, "stuck-after", o.StuckAfter, "how long an execution may be open without a reason")
	f.IntVar(&o.Limit, "limit", o.Limit, "how many violations of a kind are told")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func checkDoctor(o server.DoctorOptions, output string) error {
	switch {
	case o.Window <= 0 || o.OverdueAfter <= 0 || o.StuckAfter <= 0:
		return fmt.Errorf("--window, --overdue-after and --stuck-after must be positive")
	case o.Jobs < 1 || o.Executions < 1 || o.Limit < 1:
		return fmt.Errorf("--jobs, --executions and --limit must be at least 1")
	case output != "table" && output != "json":
		return fmt.Errorf("--output: %q is neither table nor json", output)
	}
	return nil
}

func printReport(out io.Writer, r server.DoctorReport, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	if len(r.Violations) > 0 {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "KIND\tINSTANCE\tJOB\tEXECUTION\tWHEN\tWHAT")
		for _, v := range r.Violations {
			when := v.From.Format(time.RFC3339)
			if !v.Until.IsZero() {
				when += " to " + v.Until.Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Kind, orDash(v.Instance), orDash(v.Job), orDash(v.Execution), when, v.Text)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(out)
	}
	_, err := fmt.Fprintf(out, "%s. Looked at the ledgers of %s since %s.\n", verdict(r), counted(r.Jobs, "job"), r.Since.Format(time.RFC3339))
	return err
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// verdict is what was found by kind: 2 violations: 1 missing, 1 orphaned.
func verdict(r server.DoctorReport) string {
	if len(r.Violations) == 0 {
		return "Nothing is wrong"
	}
	var kinds []string
	for _, v := range r.Violations {
		if part := fmt.Sprintf("%d %s", r.Count(v.Kind), v.Kind); !slices.Contains(kinds, part) {
			kinds = append(kinds, part)
		}
	}
	return counted(len(r.Violations), "violation") + ": " + strings.Join(kinds, ", ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
