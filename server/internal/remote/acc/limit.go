package acc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Operations, by what their limit is counted for.
const (
	opTopFolders    = "listing of top folders"
	opContents      = "listing of folders"
	opCreateFolder  = "new folders"
	opPatchFolder   = "changes of folders"
	opStorage       = "new storage"
	opCreateItem    = "new files"
	opGetItem       = "reading of items"
	opCreateVersion = "new versions"
	opStorageCalls  = "signed URLs"
)

// limits are the documented numbers of requests per minute and app; that of
// signed URLs is one for all of the object storage.
var limits = map[string]float64{
	opTopFolders: 300, opContents: 300, opCreateFolder: 50, opPatchFolder: 50, opStorage: 300,
	opCreateItem: 50, opGetItem: 300, opCreateVersion: 300, opStorageCalls: 1000,
}

// app is what an app of APS may still do. Everybody in the process who calls
// for the same app shares it.
type app struct {
	buckets map[string]*bucket

	mu   sync.Mutex
	used time.Time
}

type bucket struct {
	limiter *rate.Limiter

	mu sync.Mutex
	// held is until when the service wants to hear nothing.
	held time.Time
}

type appKey struct {
	endpoint, clientID string
	factor             float64
}

// apps are the apps in use. One that was idle for two minutes has its limits in
// full again, so it may be forgotten.
var apps struct {
	sync.Mutex
	known map[appKey]*app
}

const (
	manyApps = 1000
	idle     = 2 * time.Minute
)

// appFor returns the app's limits. The factor multiplies what is documented.
func appFor(endpoint, clientID string, factor float64) *app {
	apps.Lock()
	defer apps.Unlock()
	if len(apps.known) > manyApps {
		for key, a := range apps.known {
			if a.idle() {
				delete(apps.known, key)
			}
		}
	}
	key := appKey{endpoint, clientID, factor}
	a := apps.known[key]
	if a == nil {
		a = newApp(factor)
		if apps.known == nil {
			apps.known = map[appKey]*app{}
		}
		apps.known[key] = a
	}
	a.use()
	return a
}

// newApp makes full buckets. What a bucket holds and what it gets in a minute
// are together the limit, so that no minute can exceed it.
func newApp(factor float64) *app {
	a := &app{buckets: map[string]*bucket{}}
	for op, limit := range limits {
		burst := max(1, limit*factor/10)
		perMinute := max(1, limit*factor-burst)
		a.buckets[op] = &bucket{limiter: rate.NewLimiter(rate.Limit(perMinute/60), int(burst))}
	}
	return a
}

func (a *app) use() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = time.Now()
}

func (a *app) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.used) > idle
}

// wait waits until one more request may be made, and calls slow once if that
// takes more than a second.
func (a *app) wait(ctx context.Context, op string, slow func()) error {
	a.use()
	b := a.buckets[op]
	if b.limiter.Tokens() < -1 || time.Until(b.heldUntil()) > time.Second {
		slow()
	}
	if err := b.limiter.Wait(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		// The limiter knows beforehand that the time will not do.
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	for {
		left := time.Until(b.heldUntil())
		if left <= 0 {
			return nil
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

func (b *bucket) heldUntil() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// hold makes everybody wait, as the service asked.
func (a *app) hold(op string, d time.Duration) {
	b := a.buckets[op]
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(d); until.After(b.held) {
		b.held = until
	}
}

// sleep waits, or returns why the context ended.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
