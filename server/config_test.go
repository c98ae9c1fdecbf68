package server

import "testing"

func TestClaimBatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		concurrency, perInstance, want int
	}{
		"by default":         {2000, 0, 1000},
		"many places":        {100_000, 0, 1000},
		"few places":         {100, 0, 90},
		"one place":          {1, 0, 1},
		"few of an instance": {2000, 10, 10},
		"all of them":        {50, 50, 50},
	} {
		c := Config{Concurrency: test.concurrency, InstanceConcurrency: test.perInstance}
		if got := c.claimBatch(); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}
