package configs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// The times of a renewal. Whoever holds the lock asks the service for at most
// exchangeFor, and so has the rest of holdLock to store the answer. One that
// waits is patient enough to see the lock of a dead holder end.
const (
	holdLock    = 30 * time.Second
	exchangeFor = 15 * time.Second
	waitForLock = 60 * time.Second
	firstPause  = 20 * time.Millisecond
	lastPause   = 500 * time.Millisecond
)

// renew implements task.RemoteConfig.Renew. A refresh token may be good for one
// use, so of all executions on all replicas one exchanges it; the others wait,
// and find its result stored.
//
// Between the service's answer and the commit lies the one window in which a
// crash loses a token that is the only one: nothing else is done in it.
func (o *opening) renew(ctx context.Context, fresh func(map[string]string) bool, exchange task.Exchange) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	holder := rand.Text()
	wait, cancel := context.WithTimeout(ctx, waitForLock)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		token, done, err := o.read(ctx, fresh)
		if done || err != nil {
			return token, err
		}
		locked, err := o.service.store.LockRemote(ctx, o.resourceID, o.name, holder, holdLock)
		if err != nil {
			return "", fmt.Errorf("lock remote %q of resource %d: %w", o.name, o.resourceID, err)
		}
		if locked {
			return o.renewLocked(ctx, holder, fresh, exchange)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-wait.Done():
			timer.Stop()
			return "", errors.Join(context.Cause(ctx), &job.Failure{Code: "UNAVAILABLE", Reason: "TOKEN_BUSY",
				Message: fmt.Sprintf("another execution has been renewing the token of remote %q for too long; try again", o.name)})
		}
	}
}

// read answers the stored token, if it is fresh.
func (o *opening) read(ctx context.Context, fresh func(map[string]string) bool) (token string, done bool, err error) {
	stored, options, err := o.service.open(ctx, o.resourceID, o.name)
	switch {
	case err != nil:
		return "", false, err
	case stored.Refusal != nil:
		return "", false, refused(stored)
	case stored.Type != o.kind:
		return "", false, &job.Failure{Code: "ABORTED", Reason: "CONFIG_CHANGED",
			Message: fmt.Sprintf("remote %q became one of another type meanwhile; run again", o.name)}
	}
	o.version, o.known = stored.Version, options
	return options["token"], fresh(options), nil
}

// renewLocked exchanges and stores the token. The end of ctx stops neither: a
// token that was exchanged must be kept.
func (o *opening) renewLocked(ctx context.Context, holder string, fresh func(map[string]string) bool, exchange task.Exchange) (token string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), holdLock)
	defer cancel()
	defer func() {
		if err != nil { // else the new version has no lock
			err = errors.Join(err, o.service.store.UnlockRemote(ctx, o.resourceID, o.name, holder))
		}
	}()
	// Somebody may have stored one just before the lock was taken.
	token, done, err := o.read(ctx, fresh)
	if err != nil {
		return "", err
	}
	if done {
		return token, o.service.store.UnlockRemote(ctx, o.resourceID, o.name, holder)
	}
	exchanging, stop := context.WithTimeout(ctx, exchangeFor)
	defer stop()
	token, err = exchange(exchanging, o.known)
	if err != nil {
		if why, ok := isRefusal(err); ok && !o.tries {
			return "", errors.Join(err, o.refuseLocked(ctx, why))
		}
		return "", err
	}
	return token, o.keep(ctx, token)
}

// keep stores a new token, and tries until the lock ends: there is no other.
func (o *opening) keep(ctx context.Context, token string) error {
	from := o.version
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		stored, options, err := o.service.open(ctx, o.resourceID, o.name)
		switch {
		case err != nil:
		case stored.Version != from:
			// Somebody has stored a new config: the token belongs to the old one.
			return nil
		default:
			err = o.put(ctx, stored, options, "token", token)
		}
		var away *job.UnavailableError
		var overtaken *job.AbortedError
		if err == nil || !errors.As(err, &away) && !errors.As(err, &overtaken) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("store the new token of remote %q of resource %d: %w", o.name, o.resourceID, err)
		}
	}
}
