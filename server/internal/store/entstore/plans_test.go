package entstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/tests/pgtest"
)

// TestPlansOfEmptyTables: a plan that was made while a table was empty is used
// when it is full, so it must not read tables from end to end, nor indexes.
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
		"anyDue": anyDue, "anyQueued": anyQueued, "anyTrees": anyTrees, "holders": holdersQuery, "pgLockAdmitted": pgLockAdmitted, "pgLockDue": pgLockDue, "pgLockTurns": pgLockTurns, "pgWorkflows": pgWorkflows, "pgBehindDue": pgBehindDue, "pgChanges": pgChanges,
		"pgMoveSchedules": pgMoveSchedules, "pgFoldSkips": pgFoldSkips, "pgCancelRunning": pgCancelRunning,
		"pgLockQueued": pgLockQueued, "pgOthersActive": pgOthersActive, "pgTakeQueued": pgTakeQueued, "pgRaiseFences": pgRaiseFences,
		"pgStillClaimed": pgStillClaimed, "pgRelease": pgRelease, "pgFinish": pgFinish, "pgFinishSearched": pgFinishSearched, "pgFinished": pgFinished, "pgRetry": pgRetry, "pgProgress": pgProgress,
	} {
		plan := explain(t, conn.Conn(), statement)
		for line := range strings.Lines(plan) {
			if strings.Contains(line, "Seq Scan") || strings.Contains(line, "Hash Join") || strings.Contains(line, "Merge Join") {
				t.Errorf("%s: %s\n%s", name, strings.TrimSpace(line), plan)
				break
			}
		}
	}
}

// explain answers the plan of a statement whatever its arguments are.
func explain(t *testing.T, conn *pgx.Conn, statement string) string {
	t.Helper()
	prepared, err := conn.Prepare(t.Context(), "explained", statement)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Deallocate(t.Context(), "explained") }()
	nulls := strings.TrimSuffix(strings.Repeat("NULL,", len(prepared.ParamOIDs)), ",")
	lines, err := conn.Query(t.Context(), fmt.Sprintf("EXPLAIN EXECUTE explained(%s)", nulls), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(lines, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}
