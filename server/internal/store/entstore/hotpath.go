package entstore

// HotPath holds the statements that every execution costs, for the benchmark
// that runs them with no program around. Each takes the arguments that the
// store gives it.
var HotPath = struct {
	// Of a look for work, on both.
	Look string
	// Of a claim and of a group of ends on PostgreSQL, in this order.
	PostgresLock, PostgresHolds, PostgresWorkflows, PostgresBehind, PostgresChanges, PostgresMove, PostgresInsert, PostgresFinish string
	// The same on SQLite: three for the batch, then two for each row; and two for
	// each end.
	SQLiteDue, SQLiteHolds, SQLiteChanges, SQLiteMove, SQLiteInsert, SQLiteHistory, SQLiteGone string
}{
	nextWork,
	pgLockDue, pgHolds, pgWorkflows, pgBehindDue, pgChanges, pgMoveSchedules, pgInsertActive, pgFinish,
	liteDue, liteHolds, liteChanges, liteMove, liteInsertActive, liteHistory, liteGone,
}
