package doctor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/doctor"
)

func TestHealthy(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bench) {
		if r := b.check(); len(r.Violations) > 0 || r.Jobs != 0 {
			t.Errorf("of nothing: %+v", r)
		}
		b.live()
		if r := b.check(); len(r.Violations) > 0 || r.Jobs != 1 {
			t.Errorf("found %+v", r)
		}
	})
}

const copyEnded = `INSERT INTO executions SELECT id + 1000, job_id, instance_id, "trigger", 'again_1', scheduled_for, created_at, started_at, finished_at, state, attempt, fence, error, tasks, log_bytes FROM executions WHERE scheduled_for = {5}`

const copyOpen = `INSERT INTO active_executions (id, job_id, instance_id, "trigger", trigger_id, scheduled_for, not_before, waits, created_at, owner, state, attempt, fence, first_started_at, started_at, error, tasks, log_bytes)
SELECT id, job_id, instance_id, "trigger", trigger_id, scheduled_for, scheduled_for, false, created_at, (SELECT max(id) FROM replicas), 'RUNNING', attempt, fence, started_at, started_at, error, tasks, log_bytes FROM executions WHERE scheduled_for = {5}`

const skipOf = `INSERT INTO skips (id, job_id, instance_id, reason, first, last, count, blocked_by) SELECT (SELECT 1000 + count(*) FROM skips), job_id, instance_id, `

// Each kind of damage, and what must be found of it.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage []string
		want   []string
	}{
		"a ticker that does not come": {
			[]string{`UPDATE schedules SET next_run = {25}`, `DELETE FROM executions WHERE scheduled_for >= {25}`, `DELETE FROM active_executions`}, []string{"overdue 25"}},
		"an owner that is no replica":       {[]string{`UPDATE active_executions SET owner = 999`}, []string{"orphaned 29"}},
		"a replica that left what it owned": {[]string{`DELETE FROM replicas`}, []string{"orphaned 29"}},
		"nobody takes it": {
			[]string{`UPDATE active_executions SET owner = 0, state = 'QUEUED', started_at = 0, not_before = {0} - 7200000000`}, []string{"stuck -120"}},
		"its owner does not start it": {
			[]string{`UPDATE active_executions SET state = 'QUEUED', started_at = 0, not_before = {0} - 7200000000`}, []string{"stuck -120"}},
		"it waits for nobody": {
			[]string{`UPDATE active_executions SET owner = 0, waits = true, state = 'QUEUED', started_at = 0, not_before = {0} - 7200000000`}, []string{"stuck -120"}},
		"longer than its time limit": {
			[]string{`UPDATE schedules SET policies = '{"timeLimit":60000000000}'`, `UPDATE active_executions SET started_at = {0} - 7200000000`}, []string{"stuck 29"}},
		"two executions of one instant":  {[]string{copyEnded}, []string{"doubled 5"}},
		"ended and running still":        {[]string{copyOpen}, []string{"doubled 5"}},
		"executed and skipped":           {[]string{skipOf + `'QUOTA', {5}, {5}, 1, 0 FROM skips LIMIT 1`}, []string{"doubled 5"}},
		"skipped twice":                  {[]string{skipOf + `'QUOTA', {12}, {12}, 1, 0 FROM skips LIMIT 1`}, []string{"doubled 11-14"}},
		"a row that tells too many":      {[]string{`UPDATE skips SET count = count + 1 WHERE first = {11}`}, []string{"doubled 11-14"}},
		"a row that tells too few":       {[]string{`UPDATE skips SET count = count - 1 WHERE first = {11}`}, []string{"missing 13"}},
		"an execution that is gone":      {[]string{`DELETE FROM executions WHERE scheduled_for = {5}`}, []string{"missing 5"}},
		"several that are gone":          {[]string{`DELETE FROM executions WHERE scheduled_for IN ({5}, {6}, {7}, {9})`}, []string{"missing 5-7", "missing 9"}},
		"a row that is gone":             {[]string{`DELETE FROM skips WHERE first = {11}`}, []string{"missing 11-14"}},
		"a row that ends too early":      {[]string{`UPDATE skips SET last = {13}, count = 3 WHERE first = {11}`}, []string{"missing 14"}},
		"a row that was not folded into": {[]string{`UPDATE skips SET id = id + 2000 WHERE first = {20}`, `UPDATE skips SET last = {12}, count = 2 WHERE first = {11}`, skipOf + `'OVERLAP', {13}, {14}, 2, blocked_by FROM skips WHERE first = {11}`}, []string{"unfolded 11-14"}},
		"a row of one that may be moved": {[]string{`UPDATE skips SET id = id + 2000 WHERE first = {20}`, `UPDATE skips SET last = {13}, count = 3 WHERE first = {11}`, skipOf + `'OVERLAP', {14}, {14}, 1, blocked_by FROM skips WHERE first = {11}`}, nil},
		"many such rows": {[]string{
			`UPDATE skips SET id = id + 2000 WHERE first = {20}`, `UPDATE skips SET last = {11}, count = 1 WHERE first = {11}`,
			skipOf + `'OVERLAP', {12}, {12}, 1, blocked_by FROM skips WHERE first = {11}`, skipOf + `'OVERLAP', {13}, {13}, 1, blocked_by FROM skips WHERE first = {11}`,
			skipOf + `'OVERLAP', {14}, {14}, 1, blocked_by FROM skips WHERE first = {11}`,
		}, []string{"unfolded 11-12", "unfolded 12-13", "unfolded 13-14"}},
		"rows that must not be one": {
			[]string{`UPDATE skips SET id = id + 2000 WHERE first = {20}`, `UPDATE skips SET last = {12}, count = 2 WHERE first = {11}`, skipOf + `'OVERLAP', {13}, {14}, 2, blocked_by + 1 FROM skips WHERE first = {11}`}, nil},
		"rows that an execution by hand parts": {
			[]string{`UPDATE skips SET id = id + 2000 WHERE first = {20}`, `UPDATE skips SET last = {12}, count = 2 WHERE first = {11}`, skipOf + `'OVERLAP', {13}, {14}, 2, blocked_by FROM skips WHERE first = {11}`,
				`INSERT INTO executions SELECT id + 1000, job_id, instance_id, 'MANUAL', 'r', {12} + 7, created_at, {12} + 9, finished_at, state, attempt, fence, error, tasks, log_bytes FROM executions WHERE scheduled_for = {5}`}, nil},
		"before the definition changed": {[]string{`DELETE FROM executions WHERE scheduled_for <= {8}`, `UPDATE jobs SET updated_at = {8} + 1`}, nil},
		"what a caller moved": {
			[]string{`DELETE FROM executions WHERE scheduled_for = {5}`, `INSERT INTO occurrence_changes (job_id, slot, move_to) SELECT id, {5}, {29} + 3600000000 FROM schedules`}, nil},
		"beyond the last execution": {
			[]string{`UPDATE schedules SET next_run = 0, started = 3, policies = '{"maxExecutions":3}'`, `DELETE FROM executions WHERE scheduled_for > {9}`, `DELETE FROM active_executions`, `DELETE FROM skips`}, nil},
		"a damaged schedule": {[]string{`UPDATE schedules SET type = 'CRON_BASED', cron = '?!', next_run = 0`, `DELETE FROM executions`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, b *bench) {
				b.live()
				b.damage(test.damage...)
				if diff := cmp.Diff(test.want, b.found(b.check())); diff != "" {
					t.Errorf("found (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A lease is renewed on PostgreSQL only.
func TestReplicaThatNobodyBuried(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bench) {
		b.live()
		b.damage(`UPDATE replicas SET lease_until = 1`)
		var postgres []string
		if err := b.raw.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(new(int)); err == nil {
			postgres = []string{"orphaned 29"}
		}
		if diff := cmp.Diff(postgres, b.found(b.check())); diff != "" {
			t.Errorf("found (-want +got):\n%s", diff)
		}
	})
}

func TestOptionsBoundTheLook(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bench) {
		b.live()
		older := b.job
		b.damage(`DELETE FROM executions WHERE scheduled_for IN ({5}, {7}, {9})`)
		if got := b.found(b.check(func(o *doctor.Options) { o.Limit = 2 })); len(got) != 2 {
			t.Errorf("limited to 2: %v", got)
		}
		if got := b.found(b.check(func(o *doctor.Options) { o.Window = time.Since(b.start.Add(8 * time.Minute)) })); len(got) != 1 {
			t.Errorf("in the last minutes: %v", got)
		}
		b.live() // a second job, which is the newest
		newest := b.check(func(o *doctor.Options) { o.Jobs = 1 })
		every := b.check(func(o *doctor.Options) { o.Jobs, o.Executions = 0, 0 })
		b.job = older
		if len(newest.Violations) != 0 || newest.Jobs != 1 || len(b.found(every)) != 3 || every.Jobs != 2 {
			t.Errorf("of the newest job %+v, of all %+v", newest, every)
		}
		b.damage(`UPDATE schedules SET next_run = {29}`)
		if got := b.check(func(o *doctor.Options) { o.OverdueAfter = time.Hour }).Count(doctor.Overdue); got != 0 {
			t.Errorf("%d are overdue by an hour", got)
		}
	})
}
