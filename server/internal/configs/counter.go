package configs

import (
	"context"
	"log/slog"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Counter counts again and again the remotes that need new credentials.
type Counter struct {
	Store interface {
		CountRemotes(ctx context.Context, before time.Time) (refused, expiring int, err error)
	}
	// Every is the time between counts.
	Every time.Duration
	Now   func() time.Time
	// Set is told each result.
	Set func(refused, expiring int)
	Log *slog.Logger
}

// Run counts at once, and then until ctx ends. Errors are logged: the last
// result stays until the next.
func (c *Counter) Run(ctx context.Context) {
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		refused, expiring, err := c.Store.CountRemotes(ctx, c.Now().Add(job.ExpiringWithin))
		switch {
		case err == nil:
			c.Set(refused, expiring)
		case ctx.Err() == nil:
			c.Log.WarnContext(ctx, "can't count the remotes that need new credentials; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
