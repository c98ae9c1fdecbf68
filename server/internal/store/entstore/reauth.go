package entstore

import (
	"context"
	"slices"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/resourceconfig"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Locks are taken in the order that everybody keeps: schedule rows by their
// ids, then resources and their remotes.

// LockRemote implements store.Configs. The lock is a row's own and not the
// database's, since a transaction that is open while somebody else's server
// takes its time would hold a connection, and would end with it.
func (s *Store) LockRemote(ctx context.Context, resourceID int64, name, holder string, hold time.Duration) (locked bool, err error) {
	err = s.tx(ctx, "lock remote", func(ctx context.Context, tx *ent.Tx) error {
		now, err := s.databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		n, err := tx.ResourceConfig.Update().Where(resourceconfig.ResourceID(resourceID), resourceconfig.Name(name),
			resourceconfig.Or(resourceconfig.RenewerUntilLT(micros(now)), resourceconfig.Renewer(holder))).
			SetRenewer(holder).SetRenewerUntil(micros(now.Add(hold))).Save(ctx)
		locked = n > 0
		return err
	})
	return locked, err
}

// UnlockRemote implements store.Configs.
func (s *Store) UnlockRemote(ctx context.Context, resourceID int64, name, holder string) error {
	return s.tx(ctx, "unlock remote", func(ctx context.Context, tx *ent.Tx) error {
		return tx.ResourceConfig.Update().Where(resourceconfig.ResourceID(resourceID), resourceconfig.Name(name), resourceconfig.Renewer(holder)).
			SetRenewer("").SetRenewerUntil(0).Exec(ctx)
	})
}

// RefuseRemote implements store.Configs.
func (s *Store) RefuseRemote(ctx context.Context, r store.RemoteRefusal) (refused bool, err error) {
	defer s.change()()
	err = s.tx(ctx, "refuse remote", func(ctx context.Context, tx *ent.Tx) error {
		using, err := s.lockUsing(ctx, tx, r.ResourceID, "s.active")
		if err != nil {
			return err
		}
		n, err := tx.ResourceConfig.Update().Where(resourceconfig.ResourceID(r.ResourceID), resourceconfig.Name(r.Name),
			resourceconfig.Version(r.Version), resourceconfig.RefusedAt(0)).
			SetRefusedAt(micros(r.Now)).SetRefusedReason(r.Reason).Save(ctx)
		refused = n > 0
		if err != nil || !refused {
			return err
		}
		for _, u := range using {
			if !u.names(r.ResourceID, r.Name) {
				continue
			}
			if err := pauseJob(txRunner{s, ctx, tx}, u.id, store.At(r.Now), r.PauseReason, true); err != nil {
				return err
			}
		}
		return nil
	})
	return refused, err
}

// countRemotes says each condition as its index does: then it reads only what
// it counts.
const countRemotes = `
SELECT (SELECT count(*) FROM resource_configs WHERE refused_at > 0),
  (SELECT count(*) FROM resource_configs WHERE expires_at > 0 AND expires_at < $1 AND refused_at = 0)`

// CountRemotes implements store.Configs.
func (s *Store) CountRemotes(ctx context.Context, before time.Time) (refused, expiring int, err error) {
	err = s.query(ctx, "count remotes", func(ctx context.Context, c *ent.Client) error {
		_, err := collect(ctx, c, func(scan func(...any) error) (struct{}, error) {
			return struct{}{}, scan(&refused, &expiring)
		}, countRemotes, micros(before))
		return err
	})
	return refused, expiring, err
}

// user is a job that uses a resource.
type user struct {
	id      int64
	folders []job.Folder
}

func (u user) names(resourceID int64, name string) bool {
	return slices.ContainsFunc(u.folders, func(f job.Folder) bool { return f.ResourceID == resourceID && f.Remote == name })
}

// lockUsing locks the schedule rows of jobs that use a resource, in order. The
// condition is about jobs j and schedules s.
func (s *Store) lockUsing(ctx context.Context, tx *ent.Tx, resourceID int64, condition string) ([]user, error) {
	query := `SELECT s.id, s.trees FROM schedules s JOIN jobs j ON j.id = s.id
WHERE s.id IN (SELECT job_id FROM job_resources WHERE resource_id = $1) AND ` + condition + ` ORDER BY s.id`
	if s.postgres() {
		query += " FOR UPDATE OF s"
	}
	return collect(ctx, tx, func(scan func(...any) error) (u user, err error) {
		var text string
		if err := scan(&u.id, &text); err != nil {
			return u, err
		}
		u.folders, err = foldersOf(text)
		return u, err
	}, query, resourceID)
}

// lockReauth locks the jobs that puts may resume.
func (s *Store) lockReauth(ctx context.Context, tx *ent.Tx, resourceID int64, puts []job.SealedRemote) ([]user, error) {
	if len(puts) == 0 {
		return nil, nil
	}
	using, err := s.lockUsing(ctx, tx, resourceID, "j.pause_reauth")
	return slices.DeleteFunc(using, func(u user) bool {
		return !slices.ContainsFunc(puts, func(put job.SealedRemote) bool { return u.names(resourceID, put.Name) })
	}), err
}

// resumeReauth ends the pauses of jobs none of whose remotes is refused any
// more, as if they had been to end now: the ticker comes by and does the rest.
func (s *Store) resumeReauth(ctx context.Context, tx *ent.Tx, waiting []user, puts []job.SealedRemote) error {
	resumed := false
	for _, u := range waiting {
		still, err := refusedAmong(ctx, tx, u.folders)
		if err != nil {
			return err
		}
		if still {
			continue
		}
		_, err = tx.ExecContext(ctx, `
UPDATE schedules SET paused_until = $2, next_run = $2 WHERE id = $1 AND NOT active`,
			u.id, micros(orNow(puts[0].UpdatedAt)))
		if err != nil {
			return err
		}
		resumed = true
	}
	if !resumed {
		return nil
	}
	return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
}

// refusedAmong tells whether the credentials of any of the places are refused.
func refusedAmong(ctx context.Context, tx *ent.Tx, folders []job.Folder) (bool, error) {
	for _, p := range folders {
		found, err := tx.ResourceConfig.Query().Where(resourceconfig.ResourceID(p.ResourceID), resourceconfig.Name(p.Remote),
			resourceconfig.RefusedAtGT(0)).Exist(ctx)
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}
