package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Load reads an object of a kind and checks the caller's access to it by the
// instance that owns it; a resource has scopes of its own, too. What is missing
// and what the caller may not read are the same *job.NotFoundError.
func Load[T any](ctx context.Context, a *Authorizer, kind job.Kind, id int64, access Access,
	read func(ctx context.Context, id int64) (T, error), owner func(T) int64,
) (T, error) {
	var none T
	found, err := read(ctx, id)
	exists := !errors.Is(err, store.ErrNotFound)
	if err != nil && exists {
		return none, fmt.Errorf("read %s %d: %w", kind.Name(), id, err)
	}
	if kind == job.KindResource {
		err = a.Resource(ctx, id, owner(found), exists, access, kind.Missing(id))
	} else {
		err = a.Instance(ctx, owner(found), exists, access, kind.Missing(id))
	}
	if err != nil {
		return none, err
	}
	return found, nil
}
