package entstore

import (
	"context"
	"slices"
	"time"

	"github.com/pointscene/carillon/ent"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/job"
)

// addSkips adds to the ledger of a job whose schedule row is locked. A skip
// with the reason and blocker of the one before, with no execution between,
// folds into its row. gone are the changes of occurrences that are forgotten.
func addSkips(ctx context.Context, tx *ent.Tx, row *ent.Schedule, skips []job.Skip, gone []job.OccurrenceChange) error {
	open, told := row.SkipID, time.Time{}
	for _, k := range skips {
		if !k.Alone && k.Last.After(told) {
			told = k.Last
		}
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
	if movedSince(gone, told) {
		open = 0
	}
	if open == row.SkipID {
		return nil
	}
	return tx.Schedule.Update().Where(entschedule.ID(row.ID)).SetSkipID(open).Exec(ctx)
}

// forgotten are the changes that an edit leaves behind, of slots up to now.
func forgotten(old, wanted []job.OccurrenceChange, now time.Time) []job.OccurrenceChange {
	return slices.DeleteFunc(slices.Clone(old), func(c job.OccurrenceChange) bool {
		known := slices.ContainsFunc(wanted, func(w job.OccurrenceChange) bool { return w.Slot.Equal(c.Slot) })
		return known || c.Slot.After(now)
	})
}

// movedSince tells whether an occurrence that is told out of its turn comes after
// what the rows tell. Once its change is forgotten, nothing else keeps the next row
// from being folded over it.
func movedSince(gone []job.OccurrenceChange, told time.Time) bool {
	return slices.ContainsFunc(gone, func(c job.OccurrenceChange) bool {
		return (c.Done || !c.MoveTo.IsZero()) && c.Slot.After(told)
	})
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
