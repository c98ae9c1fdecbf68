package entstore

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/tests/pgtest"
)

// TestPlansOfEmptyTables: a plan that was made while a table was empty is used
// when it is full, so it must not read tables from end to end, nor the indexes
// of big ones.
func TestPlansOfEmptyTables(t *testing.T) {
	t.Parallel()
	s := openMigrated(t, pgtest.Open(t))
	conn, err := s.engine.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, statement := range []string{"VACUUM ANALYZE", "SET plan_cache_mode = force_generic_plan"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for name, statement := range map[string]string{
		"nextWork": nextWork, "countRemotes": countRemotes, "holders": holdersQuery, "pgLockAdmitted": pgLockAdmitted, "pgLockDue": pgLockDue, "pgLockTurns": pgLockTurns, "pgWorkflows": pgWorkflows, "pgBehindDue": pgBehindDue, "pgChanges": pgChanges,
		"pgMoveSchedules": pgMoveSchedules, "pgFoldSkips": pgFoldSkips, "pgCancelRunning": pgCancelRunning,
		"pgLockQueued": pgLockQueued, "pgOthersActive": pgOthersActive, "pgTakeQueued": pgTakeQueued, "pgRaiseFences": pgRaiseFences,
		"pgStillClaimed": pgStillClaimed, "pgRelease": pgRelease, "pgFinish": pgFinish, "pgFinishSearched": pgFinishSearched, "pgFinished": pgFinished, "pgRetry": pgRetry, "pgProgress": pgProgress,
	} {
		plan := explain(t, conn.Conn(), statement)
		lines := slices.Collect(strings.Lines(plan))
		for i, line := range lines {
			whole := wholeIndex.MatchString(line) && (i+1 == len(lines) || !strings.Contains(lines[i+1], "Index Cond"))
			if whole || strings.Contains(line, "Seq Scan") || strings.Contains(line, "Hash Join") || strings.Contains(line, "Merge Join") {
				t.Errorf("%s: %s\n%s", name, strings.TrimSpace(line), plan)
				break
			}
		}
		if name == "pgFinish" && !strings.Contains(plan, "Tid Scan") {
			t.Errorf("%s does not go by the marks:\n%s", name, plan)
		}
	}
}

// wholeIndex finds scans of indexes that hold an entry for each job or execution.
var wholeIndex = regexp.MustCompile(`using (schedules_pkey|job\w*|executions\w*) on`)

// explain answers the plan of a statement whatever its arguments are.
func explain(t *testing.T, conn *pgx.Conn, statement string) string {
	t.Helper()
	prepared, err := conn.Prepare(t.Context(), "explained", statement)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Deallocate(t.Context(), "explained") }()
	execute := "EXPLAIN EXECUTE explained"
	if n := len(prepared.ParamOIDs); n > 0 {
		execute += "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	lines, err := conn.Query(t.Context(), execute, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(lines, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}
