package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server"
)

// doctorOutput runs the command and answers what it prints.
func doctorOutput(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := doctorCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	c := server.DefaultConfig()
	c.DataDir = t.TempDir()
	if _, err := server.Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	text, err := doctorOutput(t, "--data-dir", c.DataDir, "--all")
	if err != nil || !strings.HasPrefix(text, "Nothing is wrong. Looked at the ledgers of 0 jobs since 20") {
		t.Errorf("printed %q, %v", text, err)
	}
	text, err = doctorOutput(t, "--data-dir", c.DataDir, "-o", "json")
	var report server.DoctorReport
	if err != nil || json.Unmarshal([]byte(text), &report) != nil || report.CheckedAt.IsZero() || !strings.Contains(text, `"violations": []`) {
		t.Errorf("printed %q, %v", text, err)
	}
}

func TestDoctorRefuses(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no window":        {"--window", "0s"},
		"a negative time":  {"--stuck-after=-1s"},
		"no jobs":          {"--jobs", "0"},
		"no limit":         {"--limit", "0"},
		"an unknown shape": {"-o", "yaml"},
	} {
		var usage usageError
		if _, err := doctorOutput(t, append(args, "--data-dir", t.TempDir())...); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want a mistake in the call", name, err)
		}
	}
	var blind unseen
	if _, err := doctorOutput(t, "--data-dir", filepath.Join(t.TempDir(), "none")); !errors.As(err, &blind) {
		t.Errorf("without a database: %v", err)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	report := server.DoctorReport{CheckedAt: at, Since: at.Add(-time.Hour), Jobs: 1}
	report.Violations = append(report.Violations, server.DoctorViolation{Kind: "missing", Instance: "inst_1", Job: "job_2", From: at, Until: at.Add(time.Minute), Text: "2 instants"})
	report.Violations = append(report.Violations, server.DoctorViolation{Kind: "orphaned", Instance: "inst_1", Job: "job_2", Execution: "exec_3", From: at, Text: "is gone"})
	report.Violations = append(report.Violations, server.DoctorViolation{Kind: "missing", Instance: "inst_1", Job: "job_9", From: at, Text: "1 instant"})
	var out bytes.Buffer
	if err := printReport(&out, report, "table"); err != nil {
		t.Fatal(err)
	}
	want := `KIND      INSTANCE  JOB    EXECUTION  WHEN                                          WHAT
missing   inst_1    job_2  -          2026-11-22T14:00:00Z to 2026-11-22T14:01:00Z  2 instants
orphaned  inst_1    job_2  exec_3     2026-11-22T14:00:00Z                          is gone
missing   inst_1    job_9  -          2026-11-22T14:00:00Z                          1 instant

3 violations: 2 missing, 1 orphaned. Looked at the ledgers of 1 job since 2026-11-22T13:00:00Z.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	out.Reset()
	if err := printReport(&out, report, "json"); err != nil {
		t.Fatal(err)
	}
	var again server.DoctorReport
	if err := json.Unmarshal(out.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, again); diff != "" {
		t.Errorf("as JSON (-want +got):\n%s", diff)
	}
}
