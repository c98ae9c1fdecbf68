package entstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/ent"
	entjob "github.com/pointscene/carillon/ent/job"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// The engine must not pay for quotas that nobody has: which instances have one
// is read every few seconds, and a claim without any of them does nothing more.
// For the others a claim counts in one row per instance and hour, which it
// locks after the schedules of the jobs that it claims, in the order of the
// instances' ids.

// quotaDelay is how long a change of a limit by another replica may go unseen.
const quotaDelay = 5 * time.Second

// quotas are what the operator gave to instances, as read a moment ago.
type quotas struct {
	mu   sync.Mutex
	read time.Time
	own  map[int64]job.Quota
}

// quotasNow answers the instances' own quotas; it must not be changed.
func (s *Store) quotasNow(ctx context.Context) (map[int64]job.Quota, error) {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	if s.quotas.own != nil && time.Since(s.quotas.read) < quotaDelay {
		return s.quotas.own, nil
	}
	started := time.Now()
	own := map[int64]job.Quota{}
	err := s.query(ctx, "read quotas", func(ctx context.Context, c *ent.Client) error {
		_, err := collect(ctx, c, func(scan func(...any) error) (id int64, err error) {
			var text string
			if err := scan(&id, &text); err != nil {
				return 0, err
			}
			own[id], err = quotaOf(text)
			return id, err
		}, "SELECT id, quota FROM instances WHERE quota <> ''")
		return err
	})
	if err != nil {
		return nil, err
	}
	s.quotas.own, s.quotas.read = own, started
	return own, nil
}

// forgetQuotas makes the next look read them anew.
func (s *Store) forgetQuotas() {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	s.quotas.own = nil
}

// quotaText is JSON, empty when all are the defaults.
func quotaText(q job.Quota) string {
	if q == (job.Quota{}) {
		return ""
	}
	return encode(q)
}

func quotaOf(text string) (job.Quota, error) {
	if text == "" {
		return job.Quota{}, nil
	}
	return decode[job.Quota](text)
}

// SetQuota implements store.Quotas.
func (s *Store) SetQuota(ctx context.Context, id int64, q job.Quota) error {
	err := s.tx(ctx, "set quota", func(ctx context.Context, tx *ent.Tx) error {
		return tx.Instance.UpdateOneID(id).SetQuota(quotaText(q)).Exec(ctx)
	})
	s.forgetQuotas()
	return err
}

// Limits implements store.Quotas.
func (s *Store) Limits(ctx context.Context, id int64) (job.Limits, error) {
	in, err := s.Instance(ctx, id)
	return in.Quota.Or(s.limits), err
}

// Usage implements store.Quotas.
func (s *Store) Usage(ctx context.Context, id int64) (u job.Usage, err error) {
	err = s.query(ctx, "read usage", func(ctx context.Context, c *ent.Client) error {
		u, err = single(ctx, c, func(scan func(...any) error) (u job.Usage, err error) {
			err = scan(&u.Jobs, &u.ExecutionsThisHour, &u.LogBytes)
			return u, err
		}, `
SELECT (SELECT count(*) FROM jobs WHERE instance_id = $1),
  coalesce((SELECT executions FROM instance_hours WHERE instance_id = $1 AND hour = $2), 0),
  (SELECT coalesce(sum(log_bytes), 0) FROM executions WHERE instance_id = $1) + (SELECT coalesce(sum(log_bytes), 0) FROM active_executions WHERE instance_id = $1)`,
			id, micros(time.Now().Truncate(time.Hour)))
		return err
	})
	return u, err
}

// LogUsage implements store.Quotas.
func (s *Store) LogUsage(ctx context.Context) ([]store.LogUsage, error) {
	own, err := s.quotasNow(ctx)
	if err != nil {
		return nil, err
	}
	where, args := "", []any(nil)
	if s.limits.LogMebibytes == 0 {
		limited := slices.Collect(maps.Keys(own))
		limited = slices.DeleteFunc(limited, func(id int64) bool { return own[id].Or(s.limits).LogMebibytes == 0 })
		if len(limited) == 0 {
			return nil, nil
		}
		where, args = "WHERE "+s.inList("instance_id", 1), []any{s.list(limited)}
	}
	var list []store.LogUsage
	err = s.query(ctx, "sum logs", func(ctx context.Context, c *ent.Client) error {
		list, err = collect(ctx, c, scanLogUsage, "SELECT instance_id, sum(log_bytes) FROM ("+storedLogs+") logs "+where+" GROUP BY instance_id", args...)
		return err
	})
	for i, u := range list {
		list[i].Limit = int64(own[u.InstanceID].Or(s.limits).LogMebibytes) << 20
	}
	return slices.DeleteFunc(list, func(u store.LogUsage) bool { return u.Limit == 0 }), err
}

const storedLogs = `
  SELECT instance_id, log_bytes FROM executions WHERE log_bytes > 0 UNION ALL
  SELECT instance_id, log_bytes FROM active_executions WHERE log_bytes > 0`

func scanLogUsage(scan func(...any) error) (u store.LogUsage, err error) {
	err = scan(&u.InstanceID, &u.Bytes)
	return u, err
}

// countJob refuses a job beyond the limit of its instance. Creations in an
// instance with a limit wait for each other.
func (s *Store) countJob(ctx context.Context, tx *ent.Tx, in job.Instance) error {
	limit := in.Quota.Or(s.limits).Jobs
	if limit == 0 {
		return nil
	}
	if s.postgres() {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1, $2)", jobsLock, int32(in.ID%(1<<31))); err != nil {
			return err
		}
	}
	count, err := tx.Job.Query().Where(entjob.InstanceID(in.ID)).Count(ctx)
	if err != nil || count < int(limit) {
		return err
	}
	return &job.ExhaustedError{
		Reason: job.ReasonQuota, Subject: "instance:" + job.KindInstance.Format(in.ID),
		Message: "The instance has as many jobs as its quota allows; delete some, or ask the operator for more.",
	}
}

// jobsLock is the class of PostgreSQL's advisory locks that creations take.
const jobsLock = int32(0x6a6f6273)

// hourKey is an hour of an instance.
type hourKey struct{ instance, hour int64 }

// room is what is left of one.
type room struct{ limit, used, took int64 }

// rooms are what a claim may begin, of instances with a limit; nil when none of
// the claim has one.
type rooms map[hourKey]*room

func hourOf(t time.Time) int64 { return micros(t.Truncate(time.Hour)) }

// hour is that in which a due row's executions count.
func (d *dueRow) hour(now time.Time) hourKey {
	if d.NextRun.After(now) {
		now = d.NextRun
	}
	return hourKey{d.InstanceID, hourOf(now)}
}

// newRooms are those of the instances in a claim that have a limit, empty.
func (s *Store) newRooms(own map[int64]job.Quota, rows []*dueRow, now time.Time) (all rooms) {
	if len(own) == 0 && s.limits.ExecutionsPerHour == 0 {
		return nil
	}
	for _, d := range rows {
		if limit := own[d.InstanceID].Or(s.limits).ExecutionsPerHour; limit > 0 {
			if all == nil {
				all = rooms{}
			}
			all[d.hour(now)] = &room{limit: int64(limit)}
		}
	}
	return all
}

// keys are in the order in which they are locked.
func (r rooms) keys() []hourKey {
	return slices.SortedFunc(maps.Keys(r), func(a, b hourKey) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.hour, b.hour))
	})
}

// decide asks for a decision within the room that there is, and takes it.
func (r rooms) decide(d *dueRow, now time.Time, decide func(store.Due) store.Decision) store.Decision {
	one := r[d.hour(now)]
	if one == nil {
		return decide(d.Due)
	}
	left := max(0, one.limit-one.used-one.took)
	d.Room = &left
	decision := decide(d.Due)
	one.took += int64(len(decision.Starts))
	return decision
}

const (
	// countHour locks an hour and answers its count.
	countHour = `
INSERT INTO instance_hours (instance_id, hour, executions) VALUES ($1, $2, 0)
ON CONFLICT (instance_id, hour) DO UPDATE SET executions = instance_hours.executions RETURNING executions`
	addToHour = `UPDATE instance_hours SET executions = executions + $3 WHERE instance_id = $1 AND hour = $2`
)

// takeRoom counts up to n executions of an instance as begun and answers how
// many may begin.
func (s *Store) takeRoom(ctx context.Context, tx *ent.Tx, instanceID int64, now time.Time, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	in, err := tx.Instance.Get(ctx, instanceID)
	if err != nil {
		return 0, err
	}
	limit := int64(instanceOf(in).Quota.Or(s.limits).ExecutionsPerHour)
	if limit == 0 {
		return n, nil
	}
	used, err := single(ctx, tx, scanID, countHour, instanceID, hourOf(now))
	if err != nil {
		return 0, err
	}
	n = int(max(0, min(int64(n), limit-used)))
	_, err = tx.ExecContext(ctx, addToHour, instanceID, hourOf(now), n)
	return n, err
}

// takeOne is takeRoom for an execution that somebody asked for.
func (s *Store) takeOne(ctx context.Context, tx *ent.Tx, instanceID int64, now time.Time) error {
	n, err := s.takeRoom(ctx, tx, instanceID, now, 1)
	if err != nil || n == 1 {
		return err
	}
	return &job.ExhaustedError{
		Reason: job.ReasonQuota, Subject: "instance:" + job.KindInstance.Format(instanceID),
		Message:    "The instance has used up its executions of the hour; try again in the next one.",
		RetryAfter: now.Truncate(time.Hour).Add(time.Hour).Sub(now),
	}
}

// pruneHours deletes counts that nobody needs any more.
func pruneHours(ctx context.Context, tx *ent.Tx) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM instance_hours WHERE hour < $1", hourOf(time.Now().Add(-3*time.Hour)))
	return err
}

// pgReadRooms locks the hours and reads what was used of them.
func pgReadRooms(ctx context.Context, tx pgx.Tx, r rooms) error {
	if len(r) == 0 {
		return nil
	}
	var work pgx.Batch
	for _, key := range r.keys() {
		work.Queue(countHour, key.instance, key.hour).QueryRow(func(row pgx.Row) error { return row.Scan(&r[key].used) })
	}
	return tx.SendBatch(ctx, &work).Close()
}

// pgStoreRooms counts what was taken.
func pgStoreRooms(ctx context.Context, tx pgx.Tx, r rooms) error {
	if len(r) == 0 {
		return nil
	}
	var work pgx.Batch
	for _, key := range r.keys() {
		work.Queue(addToHour, key.instance, key.hour, r[key].took)
	}
	return tx.SendBatch(ctx, &work).Close()
}

func liteReadRooms(tx *liteTx, r rooms) error {
	for _, key := range r.keys() {
		if err := tx.query(countHour, func(scan func(...any) error) error { return scan(&r[key].used) }, key.instance, key.hour); err != nil {
			return err
		}
	}
	return nil
}

func liteStoreRooms(tx *liteTx, r rooms) error {
	for _, key := range r.keys() {
		if _, err := tx.exec(addToHour, key.instance, key.hour, r[key].took); err != nil {
			return err
		}
	}
	return nil
}
