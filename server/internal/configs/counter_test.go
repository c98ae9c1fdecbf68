package configs_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/configs"
)

// counts answers other counts each time, and an error the second time.
type counts struct{ asked []time.Time }

func (c *counts) CountRemotes(_ context.Context, before time.Time) (refused, expiring int, err error) {
	c.asked = append(c.asked, before)
	if n := len(c.asked); n != 2 {
		return n, 10 * n, nil
	}
	return 0, 0, errors.New("no database")
}

// A count that failed leaves the one before, and the next comes all the same.
func TestCounter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		start := time.Now()
		var store counts
		var told [][2]int
		counter := &configs.Counter{
			Store: &store, Every: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler),
			Set: func(refused, expiring int) { told = append(told, [2]int{refused, expiring}) },
		}
		go counter.Run(ctx)
		time.Sleep(2*time.Minute + time.Second) // of the bubble's clock
		stop()
		synctest.Wait()
		week := start.Add(7 * 24 * time.Hour)
		if diff := cmp.Diff([]time.Time{week, week.Add(time.Minute), week.Add(2 * time.Minute)}, store.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([][2]int{{1, 10}, {3, 30}}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}
