package entstore

import (
	"context"

	"github.com/pointscene/carillon/ent"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/job"
)

// addSkips adds to the ledger of a job whose schedule row is locked. A skip
// with the reason and blocker of the one before, with no execution between,
// folds into its row.
func addSkips(ctx context.Context, tx *ent.Tx, row *ent.Schedule, skips []job.Skip) error {
	open := row.SkipID
	for _, k := range skips {
		if !k.Apart {
			if folded, err := fold(ctx, tx, open, k); err != nil || folded {
				if err != nil {
					return err
				}
				continue
			}
		}
		added, err := tx.Skip.Create().SetJobID(row.ID).SetInstanceID(row.InstanceID).SetReason(k.Reason).
			SetFirst(micros(k.First)).SetLast(micros(k.Last)).SetCount(k.Count).SetBlockedBy(k.BlockedBy).Save(ctx)
		if err != nil {
			return err
		}
		if !k.Alone {
			open = added.ID
		}
	}
	if open == row.SkipID {
		return nil
	}
	return tx.Schedule.Update().Where(entschedule.ID(row.ID)).SetSkipID(open).Exec(ctx)
}

// foldSkip widens a row to both sides: an edit may tell what came before.
const foldSkip = `
UPDATE skips SET first = CASE WHEN first < $2 THEN first ELSE $2 END, last = CASE WHEN last > $3 THEN last ELSE $3 END, count = count + $4
WHERE id = $1 AND reason = $5 AND blocked_by = $6`

// fold adds a skip to the open row, if that has its reason and blocker.
func fold(ctx context.Context, tx *ent.Tx, open int64, k job.Skip) (bool, error) {
	if open == 0 {
		return false, nil
	}
	done, err := tx.ExecContext(ctx, foldSkip, open, micros(k.First), micros(k.Last), k.Count, k.Reason, k.BlockedBy)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}
