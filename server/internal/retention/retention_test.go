package retention_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/retention"
)

// batches are what the store answers, call by call; each takes a while.
type batches struct {
	answers [][]job.Execution
	calls   []time.Time
	err     error
}

// PruneAuditEvents finds none.
func (*batches) PruneAuditEvents(context.Context, time.Time, int) (int, error) { return 0, nil }

func (b *batches) PruneHistory(context.Context, time.Time, int) ([]job.Execution, bool, error) {
	b.calls = append(b.calls, time.Now())
	time.Sleep(20 * time.Millisecond)
	n := len(b.calls)
	if n > len(b.answers) {
		return nil, false, b.err
	}
	return b.answers[n-1], n < len(b.answers) || b.err != nil, nil
}

type logs struct{ deleted []int64 }

func (l *logs) Delete(_ context.Context, refs ...executionlog.Ref) error {
	for _, ref := range refs {
		l.deleted = append(l.deleted, ref.ExecutionID)
	}
	return nil
}

func TestPrune(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	logged := func(id int64) job.Execution { return job.Execution{ID: id, State: job.StateSucceeded, LogBytes: 7} }
	quiet := func(id int64) job.Execution {
		return job.Execution{ID: id, State: job.StateSucceeded, Attempt: 1}
	}
	for name, test := range map[string]struct {
		store   batches
		pruned  int
		deleted []int64
	}{
		"nothing is old": {batches{answers: [][]job.Execution{nil}}, 0, nil},
		"in batches":     {batches{answers: [][]job.Execution{{logged(1), quiet(2)}, {logged(3)}}}, 3, []int64{1, 3}},
		"no execution is old, but other rows are": {
			batches{answers: [][]job.Execution{nil, nil, {logged(4)}}}, 1, []int64{4},
		},
		"the store fails half-way": {batches{answers: [][]job.Execution{{logged(1)}}, err: away}, 1, []int64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var l logs
				p := retention.Pruner{Store: &test.store, Logs: &l, Keep: time.Hour, Now: time.Now}
				pruned, err := p.Prune(t.Context())
				if pruned != test.pruned || !errors.Is(err, test.store.err) {
					t.Errorf("pruned %d, error %v", pruned, err)
				}
				if diff := cmp.Diff(test.deleted, l.deleted); diff != "" {
					t.Errorf("deleted logs (-want +got):\n%s", diff)
				}
				for i := 1; i < len(test.store.calls); i++ {
					if between := test.store.calls[i].Sub(test.store.calls[i-1]); between != 40*time.Millisecond {
						t.Errorf("a batch came %v after the one before, want as much rest as work", between)
					}
				}
			})
		})
	}
}
