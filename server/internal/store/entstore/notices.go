package entstore

import (
	"context"
	stdsql "database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/notice"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// NoticeInstances implements store.Notices.
func (s *Store) NoticeInstances(ctx context.Context) (ids []int64, err error) {
	err = s.query(ctx, "list instances with webhooks", func(ctx context.Context, c *ent.Client) error {
		ids, err = collect(ctx, c, scanID, "SELECT id FROM notice_feeds ORDER BY id")
		return err
	})
	return ids, err
}

// AdvanceNotices implements store.Notices. A look without a lock comes first:
// most find nothing, and write nothing then.
func (s *Store) AdvanceNotices(ctx context.Context, instanceID int64, decide func(store.NoticeLook) store.NoticeStep) (made int, more bool, err error) {
	idle := false
	err = s.query(ctx, "look for notices", func(ctx context.Context, c *ent.Client) error {
		feed, err := readFeed(ctx, c, instanceID, "")
		if err != nil {
			return err
		}
		l, err := s.lookFeed(ctx, c, feed, feedPage)
		idle = err == nil && l.idle(feed)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || idle {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	err = s.tx(ctx, "tell notices", func(ctx context.Context, tx *ent.Tx) error {
		made, more = 0, false
		feed, err := s.lockFeed(ctx, tx, instanceID, true)
		if errors.Is(err, stdsql.ErrNoRows) { // another replica is at it
			return nil
		}
		if err != nil {
			return err
		}
		l, err := s.lookFeed(ctx, tx.Client(), feed, feedPage)
		if err != nil || l.idle(feed) {
			return err
		}
		look, err := s.fillLook(ctx, tx, l)
		if err != nil {
			return err
		}
		more = l.more
		made, err = storeStep(ctx, tx, look, decide(look))
		if err != nil {
			return err
		}
		if made > 0 {
			if err := s.notify(ctx, tx, store.Signal{Kind: store.SignalDelivery}); err != nil {
				return err
			}
		}
		return storeFeed(ctx, tx, l.next)
	})
	return made, more, err
}

const feedColumns = `SELECT id, version, floor, position, jobs_seen, looked_at FROM notice_feeds WHERE id = $1`

func readFeed(ctx context.Context, q querier, instanceID int64, lock string) (feedRow, error) {
	return single(ctx, q, func(scan func(...any) error) (f feedRow, err error) {
		var position string
		if err := scan(&f.instanceID, &f.version, &f.floor, &position, &f.jobsSeen, &f.lookedAt); err != nil {
			return f, err
		}
		f.position, err = decode[feedPosition](position)
		return f, err
	}, feedColumns+lock, instanceID)
}

// lockFeed locks a feed; with skip, one that is locked is not found.
func (s *Store) lockFeed(ctx context.Context, tx *ent.Tx, instanceID int64, skip bool) (feedRow, error) {
	lock := ""
	if s.postgres() {
		lock = " FOR UPDATE"
		if skip {
			lock += " SKIP LOCKED"
		}
	}
	return readFeed(ctx, tx, instanceID, lock)
}

// openFeed begins a feed unless there is one: what has happened by now is taken
// for told. The instance is locked.
func (s *Store) openFeed(ctx context.Context, tx *ent.Tx, instanceID int64) error {
	if _, err := s.lockFeed(ctx, tx, instanceID, false); !errors.Is(err, stdsql.ErrNoRows) {
		return err
	}
	now, err := s.databaseTime(ctx, tx)
	if err != nil {
		return err
	}
	feed := feedRow{instanceID: instanceID}
	if feed.floor, err = s.settled(ctx, tx, now); err != nil {
		return err
	}
	const all = 1 << 30
	l, err := s.lookFeed(ctx, tx.Client(), feed, all)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO notice_feeds (id, version, floor, position, jobs_seen, looked_at) VALUES ($1, 1, $2, $3, 0, 0)",
		instanceID, l.next.floor, encode(l.next.position))
	if err != nil {
		return err
	}
	return s.notify(ctx, tx, store.Signal{Kind: store.SignalWebhook})
}

func storeFeed(ctx context.Context, tx *ent.Tx, f feedRow) error {
	_, err := tx.ExecContext(ctx, "UPDATE notice_feeds SET version = $2, floor = $3, position = $4, jobs_seen = $5, looked_at = $6 WHERE id = $1",
		f.instanceID, f.version, f.floor, encode(f.position), f.jobsSeen, f.lookedAt)
	return err
}

// fillLook reads what a decision needs.
func (s *Store) fillLook(ctx context.Context, tx *ent.Tx, l feedLook) (look store.NoticeLook, err error) {
	look = store.NoticeLook{InstanceID: l.next.instanceID, Now: l.now, Webhooks: l.webhooks, Looked: l.jobs, Streaks: map[int64]int{}}
	look.Ended, err = collect(ctx, tx, scanExecution, "SELECT "+endedColumns+" FROM executions WHERE "+s.inList("id", 1)+" ORDER BY finished_at, id", s.list(l.ended))
	if err != nil {
		return look, err
	}
	look.Approvals, err = collect(ctx, tx, scanExecution, "SELECT "+activeColumns+" FROM active_executions a WHERE "+s.inList("id", 1)+" ORDER BY id", s.list(idsOfMarks(l.approvals)))
	if err != nil {
		return look, err
	}
	look.Paused = idsOfMarks(l.paused)
	if look.Refused, err = s.refusedRemotes(ctx, tx, l.refuse); err != nil {
		return look, err
	}
	if err := s.fillJobs(ctx, tx, l, &look); err != nil {
		return look, err
	}
	_, err = collect(ctx, tx, func(scan func(...any) error) (id int64, err error) {
		var failures int
		err = scan(&id, &failures)
		look.Streaks[id] = failures
		return id, err
	}, "SELECT id, failures FROM job_streaks WHERE "+s.inList("id", 1), s.list(jobsOf(look.Ended)))
	return look, err
}

// fillJobs reads the jobs that a look is about, and their freshness.
func (s *Store) fillJobs(ctx context.Context, tx *ent.Tx, l feedLook, look *store.NoticeLook) error {
	fresh := slices.Concat(jobsOf(look.Ended), l.jobs)
	for _, f := range l.due {
		fresh = append(fresh, f.JobID)
	}
	named := slices.Concat(fresh, jobsOf(look.Approvals), look.Paused)
	for _, r := range look.Refused {
		named = append(named, r.JobIDs...)
	}
	slices.Sort(named)
	jobs, err := collect(ctx, tx, scanJob, jobQuery+"WHERE "+s.inList("j.id", 2), micros(l.now), s.list(slices.Compact(named)))
	if err != nil {
		return err
	}
	look.Jobs = make(map[int64]job.Job, len(jobs))
	for _, j := range jobs {
		look.Jobs[j.ID] = j
	}
	look.Freshness, err = collect(ctx, tx, scanFreshness, "SELECT "+freshnessColumns+" FROM job_freshnesses WHERE "+s.inList("job_id", 1)+" ORDER BY id", s.list(fresh))
	return err
}

func (s *Store) refusedRemotes(ctx context.Context, tx *ent.Tx, marks []mark) ([]store.RefusedRemote, error) {
	list, err := collect(ctx, tx, func(scan func(...any) error) (r store.RefusedRemote, err error) {
		var since int64
		err = scan(&r.ID, &r.ResourceID, &r.Name, &r.Reason, &since)
		r.Since = timeOf(since)
		return r, err
	}, "SELECT id, resource_id, name, refused_reason, refused_at FROM resource_configs WHERE "+s.inList("id", 1)+" ORDER BY id", s.list(idsOfMarks(marks)))
	for i := range list {
		if err == nil {
			list[i].JobIDs, err = collect(ctx, tx, scanID, "SELECT job_id FROM job_resources WHERE resource_id = $1 ORDER BY job_id", list[i].ResourceID)
		}
	}
	return list, err
}

func idsOfMarks(marks []mark) []int64 {
	return mapAll(marks, func(m mark) int64 { return m.ID })
}

func jobsOf(list []job.Execution) []int64 {
	return mapAll(list, func(e job.Execution) int64 { return e.JobID })
}

// storeStep stores what follows from a look.
func storeStep(ctx context.Context, tx *ent.Tx, look store.NoticeLook, step store.NoticeStep) (made int, err error) {
	for _, n := range step.Notices {
		added, err := addNotice(ctx, tx, n)
		if err != nil {
			return made, err
		}
		if added != 0 {
			made++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(step.Streaks)) {
		if err := storeStreak(ctx, tx, look, id, step.Streaks[id]); err != nil {
			return made, err
		}
	}
	if _, err := tx.JobFreshness.Delete().Where(idsIn(step.Dropped)).Exec(ctx); err != nil {
		return made, err
	}
	for _, f := range step.Freshness {
		if err := storeFreshness(ctx, tx, look.InstanceID, f); err != nil {
			return made, err
		}
	}
	return made, nil
}

func storeStreak(ctx context.Context, tx *ent.Tx, look store.NoticeLook, jobID int64, failures int) (err error) {
	switch before := look.Streaks[jobID]; {
	case failures == before:
	case failures == 0:
		_, err = tx.ExecContext(ctx, "DELETE FROM job_streaks WHERE id = $1", jobID)
	default:
		_, err = tx.ExecContext(ctx, `INSERT INTO job_streaks (id, instance_id, failures) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET failures = excluded.failures`, jobID, look.InstanceID, failures)
	}
	return err
}

func storeFreshness(ctx context.Context, tx *ent.Tx, instanceID int64, f job.Freshness) error {
	if f.ID == 0 {
		return tx.JobFreshness.Create().SetInstanceID(instanceID).SetWebhookID(f.WebhookID).SetJobID(f.JobID).
			SetSince(micros(f.Since)).SetDue(micros(f.Due)).SetStale(f.Stale).Exec(ctx)
	}
	// A pause may have ended since the row was read: what stood is left alone,
	// until a success begins the time anew.
	_, err := tx.ExecContext(ctx, `
UPDATE job_freshnesses SET stood = CASE WHEN since < $2 THEN 0 ELSE stood END, since = $2, due = $3, stale = $4 WHERE id = $1`,
		f.ID, micros(f.Since), micros(f.Due), f.Stale)
	return err
}

// The time of a job's freshness stands still while somebody has paused it: when
// the pause of job $1, from $2 on, ends at $3, its length is noted, and the job
// looked at. A pause by the service is no reason to be quiet.
const stoodStill = `
UPDATE job_freshnesses SET stood = stood + $3 - (CASE WHEN since > $2 THEN since ELSE $2 END), due = $3
WHERE job_id = $1 AND since < $3 AND NOT stale AND (SELECT pause_actor FROM jobs WHERE id = $1) <> '` + job.ActorSystem + `'`

// Of its instance $1 the last pause is looked up where it counts: its length is
// noted, from $2 to $3, when another takes its place.
const stoodStillBefore = `
UPDATE job_freshnesses SET stood = stood + $3 - (CASE WHEN since > $2 THEN since ELSE $2 END)
WHERE instance_id = $1 AND since < $3 AND NOT stale`

// lookAtFreshness has the jobs of an instance looked at whose freshness can end.
const lookAtFreshness = `UPDATE job_freshnesses SET due = $2 WHERE instance_id = $1 AND due > 0`

// AddNotice implements store.Notices.
func (s *Store) AddNotice(ctx context.Context, n job.Notice) (d job.Delivery, err error) {
	err = s.tx(ctx, "add notice", func(ctx context.Context, tx *ent.Tx) error {
		id, err := addNotice(ctx, tx, n)
		if err != nil || id == 0 {
			return err
		}
		if d, err = single(ctx, tx, scanDelivery, deliveryQuery+"WHERE d.notice_id = $1 ORDER BY d.id LIMIT 1", id); err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDelivery})
	})
	return d, err
}

// addNotice answers the id of the notice, 0 when it was there before.
func addNotice(ctx context.Context, tx *ent.Tx, n job.Notice) (int64, error) {
	at := micros(n.CreatedAt)
	ids, err := collect(ctx, tx, scanID, `
INSERT INTO notices (instance_id, key, event, job_id, execution_id, created_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (key) DO NOTHING RETURNING id`, n.InstanceID, n.Key, string(n.Event), n.JobID, n.ExecutionID, at, n.Body)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	for _, to := range n.WebhookIDs {
		_, err := tx.ExecContext(ctx, `
INSERT INTO deliveries (notice_id, webhook_id, instance_id, job_id, event, state, created_at, next_at, fence, tries, finished_at, attempts)
VALUES ($1, $2, $3, $4, $5, 'PENDING', $6, $6, 0, 0, 0, '')`, ids[0], to, n.InstanceID, n.JobID, string(n.Event), at)
		if err != nil {
			return 0, err
		}
	}
	return ids[0], nil
}

// pruneNotices deletes notices from before the cutoff with their deliveries.
func pruneNotices(ctx context.Context, tx *ent.Tx, cutoff time.Time, limit int) (int, error) {
	ids, err := tx.Notice.Query().Where(notice.CreatedAtLT(micros(cutoff))).Order(ent.Asc(notice.FieldCreatedAt)).Limit(limit).IDs(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, "DELETE FROM deliveries WHERE notice_id = $1", id); err != nil {
			return 0, err
		}
	}
	_, err = tx.Notice.Delete().Where(idsIn(ids)).Exec(ctx)
	return len(ids), err
}
