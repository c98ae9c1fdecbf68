package entstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/activeexecution"
	"github.com/pointscene/carillon/ent/replica"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Register implements store.Replicas.
func (s *Store) Register(ctx context.Context, name string, lease time.Duration) (store.Replica, time.Time, error) {
	var r store.Replica
	var now time.Time
	err := s.tx(ctx, "register replica", func(ctx context.Context, tx *ent.Tx) error {
		var err error
		if now, err = s.databaseTime(ctx, tx); err != nil {
			return err
		}
		role := ""
		if s.postgres() {
			if role, err = single(ctx, tx, scanText, "SELECT current_user"); err != nil {
				return err
			}
		}
		row, err := tx.Replica.Create().SetName(name).SetSession(s.session).SetRole(role).
			SetStartedAt(micros(now)).SetSteadySince(micros(now)).SetLeaseUntil(micros(now.Add(lease))).Save(ctx)
		if err != nil {
			return err
		}
		r = replicaOf(row)
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalReplica})
	})
	if err == nil {
		now, err = s.DatabaseTime(ctx)
	}
	return r, now, err
}

// answerTime is the database's time as it answers. It is asked by itself: one
// that a transaction read is older by the time of its commit.
func (s *Store) answerTime(ctx context.Context, on *pgxpool.Pool) (now time.Time, err error) {
	if !s.postgres() {
		return job.Time(time.Now()), nil
	}
	err = on.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return job.Time(now), err
}

// DatabaseTime implements store.Replicas and store.Inspection.
func (s *Store) DatabaseTime(ctx context.Context) (now time.Time, err error) {
	err = s.run(ctx, "read the database's clock", func(ctx context.Context) error {
		now, err = s.answerTime(ctx, s.engine)
		return err
	})
	return now, err
}

// databaseTime is DatabaseTime for a client or a transaction.
func (s *Store) databaseTime(ctx context.Context, q querier) (time.Time, error) {
	if !s.postgres() {
		return job.Time(time.Now()), nil
	}
	us, err := single(ctx, q, scanID, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`)
	return timeOf(us), err
}

// pgRenew renews a lease. The replica is steady no longer when half of its lease was
// over, or more of it was left than it is long: the database was away, or its clock
// made a step. After a step back no lease may end later than those that are renewed,
// and nobody has been steady since a time to come.
const pgRenew = `
WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now),
shortened AS (
  UPDATE replicas SET lease_until = clock.now + $2::bigint FROM clock WHERE id <> $1 AND lease_until > clock.now + $2 + 1000000)
UPDATE replicas r SET lease_until = clock.now + $2,
  steady_since = CASE WHEN r.lease_until BETWEEN clock.now + $2 / 2 AND clock.now + $2 AND r.steady_since <= clock.now THEN r.steady_since ELSE clock.now END
FROM clock WHERE r.id = $1 RETURNING r.id`

// Renew implements store.Replicas.
func (s *Store) Renew(ctx context.Context, id int64, lease time.Duration) (now time.Time, err error) {
	if !s.postgres() {
		return job.Time(time.Now()), nil
	}
	err = s.run(ctx, "renew lease", func(ctx context.Context) error {
		err := s.pulse.QueryRow(ctx, pgRenew, id, lease.Microseconds()).Scan(&id)
		if err == nil {
			now, err = s.answerTime(ctx, s.pulse)
		}
		return err
	})
	return now, err
}

// Replicas implements store.Replicas.
func (s *Store) Replicas(ctx context.Context) (list []store.Replica, err error) {
	err = s.query(ctx, "list replicas", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Replica.Query().Order(replica.ByID()).All(ctx)
		list = make([]store.Replica, len(rows))
		for i, row := range rows {
			list[i] = replicaOf(row)
		}
		return err
	})
	return list, err
}

func replicaOf(row *ent.Replica) store.Replica {
	return store.Replica{ID: row.ID, Name: row.Name, StartedAt: timeOf(row.StartedAt), LeaseUntil: timeOf(row.LeaseUntil)}
}

// Leave implements store.Replicas.
func (s *Store) Leave(ctx context.Context, self int64) error {
	return s.tx(ctx, "leave", func(ctx context.Context, tx *ent.Tx) error {
		left, err := tx.ActiveExecution.Query().Where(activeexecution.Owner(self)).Exist(ctx)
		switch {
		case err != nil:
			return err
		case left:
			return tx.Replica.Update().Where(replica.ID(self)).SetLeaseUntil(0).Exec(ctx)
		}
		_, err = tx.Replica.Delete().Where(replica.ID(self)).Exec(ctx)
		return err
	})
}
