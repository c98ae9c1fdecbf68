package doctor

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/store"
)

const (
	// scanWindow is how far back a scan looks at ledgers, and scanJobs at how
	// many a time: all come in turn.
	scanWindow = time.Hour
	scanJobs   = 100
	// scanExecutions is how many of the newest a scan looks at for doubles.
	scanExecutions = 10_000
)

// Scanner looks again and again, a little at a time.
type Scanner struct {
	Store store.Inspection
	// Every is the time between scans.
	Every time.Duration
	// Set is told how many violations of a kind there are. Those of ledgers are
	// the ones of the last time that all were looked at, or more.
	Set func(kind Kind, violations int)
	Log *slog.Logger

	// before is the job at which the next scan goes on.
	before int64
	// turn counts what ledgers had in this turn, and turned in the one before.
	turn, turned map[Kind]int
	// told is what was logged last.
	told map[Kind]int
}

// Run scans until ctx ends, first at a random time, so that replicas don't all
// scan at once. Errors are logged: the next scan looks at the same again.
func (s *Scanner) Run(ctx context.Context) {
	timer := time.NewTimer(rand.N(s.Every))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := s.scan(ctx); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "can't look for broken promises; trying again", "error", err)
		}
		timer.Reset(s.Every)
	}
}

func (s *Scanner) scan(ctx context.Context) error {
	now, err := s.Store.DatabaseTime(ctx)
	if err != nil {
		return err
	}
	o := DefaultOptions()
	o.Window, o.Executions = scanWindow, scanExecutions
	state := Report{CheckedAt: now, Since: now.Add(-o.Window)}
	if err := state.state(ctx, s.Store, o); err != nil {
		return err
	}
	// What is known to be doubled is not counted again.
	ledgers := Report{CheckedAt: now, Since: state.Since, Violations: slices.Clone(state.Violations)}
	next, err := ledgers.ledgers(ctx, s.Store, o, store.Page{Before: s.before, Limit: scanJobs})
	if err != nil {
		return err
	}
	s.count(state, ledgers, next)
	return nil
}

// count adds what a scan found to the turn, and tells all.
func (s *Scanner) count(state, ledgers Report, next int64) {
	if s.before == 0 {
		s.turn = map[Kind]int{}
	}
	counts := map[Kind]int{}
	for _, kind := range Kinds() {
		s.turn[kind] += ledgers.Count(kind) - state.Count(kind)
		counts[kind] = state.Count(kind) + max(s.turn[kind], s.turned[kind])
	}
	if s.before = next; next == 0 {
		s.turned = s.turn
		for _, kind := range Kinds() {
			counts[kind] = state.Count(kind) + s.turned[kind]
		}
	}
	broken := []any{}
	for _, kind := range Kinds() {
		s.Set(kind, counts[kind])
		if counts[kind] > 0 {
			broken = append(broken, slog.Int(string(kind), counts[kind]))
		}
	}
	if len(broken) > 0 && !maps.Equal(counts, s.told) {
		s.Log.Warn("promises of the engine are broken: run `carillon doctor` to see which", broken...)
	}
	s.told = counts
}
