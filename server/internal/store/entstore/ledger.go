package entstore

import (
	"context"

	"github.com/pointscene/carillon/ent"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/ent/skip"
	"github.com/pointscene/carillon/server/internal/job"
)

// addSkips adds to the ledger of a job whose schedule row is locked. A skip
// with the reason and blocker of the one before, with no execution between,
// folds into its row.
func addSkips(ctx context.Context, tx *ent.Tx, row *ent.Schedule, skips []job.Skip) error {
	open := row.SkipID
	for _, k := range skips {
		folded := 0
		if open != 0 {
			var err error
			folded, err = tx.Skip.Update().Where(skip.ID(open), skip.Reason(k.Reason), skip.BlockedBy(k.BlockedBy)).
				SetLast(micros(k.Last)).AddCount(k.Count).Save(ctx)
			if err != nil {
				return err
			}
		}
		if folded > 0 {
			continue
		}
		added, err := tx.Skip.Create().SetJobID(row.ID).SetInstanceID(row.InstanceID).SetReason(k.Reason).
			SetFirst(micros(k.First)).SetLast(micros(k.Last)).SetCount(k.Count).SetBlockedBy(k.BlockedBy).Save(ctx)
		if err != nil {
			return err
		}
		open = added.ID
	}
	if open == row.SkipID {
		return nil
	}
	return tx.Schedule.Update().Where(entschedule.ID(row.ID)).SetSkipID(open).Exec(ctx)
}
