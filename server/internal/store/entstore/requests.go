package entstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/requestkey"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// requestLife is how long a request is remembered.
const requestLife = 24 * time.Hour

// once answers the id of what an earlier call with this request made, or of
// what create makes now. read then fetches it; when a repeat finds it deleted,
// that is said instead of making a second one.
func once(ctx context.Context, tx *ent.Tx, req store.Request, create func() (int64, error), read func(id int64) error) error {
	id, err := remembered(ctx, tx, req)
	if err != nil {
		return err
	}
	if id != 0 {
		err := read(id)
		if ent.IsNotFound(err) || errors.Is(err, sql.ErrNoRows) {
			return &job.PreconditionError{Reason: "REQUESTED_OBJECT_DELETED", Message: "What the first call with this requestId made has been deleted since."}
		}
		return err
	}
	if id, err = create(); err != nil {
		return err
	}
	if err := remember(ctx, tx, req, id); err != nil {
		return err
	}
	return read(id)
}

// remembered answers what the request made, 0 for nothing.
func remembered(ctx context.Context, tx *ent.Tx, req store.Request) (int64, error) {
	if req.Key == "" {
		return 0, nil
	}
	row, err := tx.RequestKey.Query().Where(requestkey.Key(req.Key)).Only(ctx)
	switch {
	case ent.IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, err
	case time.Since(timeOf(row.CreatedAt)) > requestLife:
		return 0, tx.RequestKey.DeleteOne(row).Exec(ctx)
	case row.Digest != req.Digest:
		return 0, job.Invalid("requestId", "REQUEST_ID_REUSED", "was used for a different request in the last 24 hours; use a new one")
	}
	return row.ObjectID, nil
}

// remember stores what the request made.
func remember(ctx context.Context, tx *ent.Tx, req store.Request, id int64) error {
	if req.Key == "" {
		return nil
	}
	err := tx.RequestKey.Create().SetKey(req.Key).SetDigest(req.Digest).SetObjectID(id).SetCreatedAt(micros(time.Now())).Exec(ctx)
	if isDuplicate(err) {
		return errRaced // the other one's object is found by the second look
	}
	return err
}

// orNow is t, or the present when it is zero.
func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
