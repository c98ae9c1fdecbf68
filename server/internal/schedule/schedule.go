package schedule

import (
	"math/bits"
	"sort"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Schedule answers which slots a job has.
type Schedule struct {
	kind job.FrequencyType
	// skipsGap: a local time that the clock skips is not made up.
	skipsGap bool
	// runsTwice: one that comes twice runs both times.
	runsTwice bool
	times     cronTimes
	zone      *zone
	expr      string
	interval  int64 // seconds
	anchor    int64 // Unix seconds
	lo, hi    int64 // slots lie in [lo, hi), Unix seconds
	jitter    time.Duration
	seed      int64
	excluded  []dayRange // sorted, apart from each other
}

// Next returns the first slot strictly after the instant, or false when there
// is none.
func (s *Schedule) Next(after time.Time) (slot time.Time, ok bool) {
	u, ok := s.next(secondAfter(after), s.hi)
	if !ok {
		return time.Time{}, false
	}
	return instant(u), true
}

// FireAt returns when a slot's execution starts: the slot plus its jitter. The
// jitter depends on the job's id and the slot only, is in whole microseconds,
// less than the schedule's, and never reaches the next slot.
func (s *Schedule) FireAt(slot time.Time) time.Time {
	if s.jitter == 0 {
		return slot.UTC()
	}
	limit := s.jitter
	if next, ok := s.Next(slot); ok {
		limit = min(limit, next.Sub(slot))
	}
	part, _ := bits.Mul64(mix(mix(uint64(s.seed))^uint64(slot.Unix())), uint64(limit/time.Microsecond))
	return slot.UTC().Add(time.Duration(part) * time.Microsecond)
}

// mix is the finaliser of SplitMix64: neighbouring inputs give unrelated
// outputs. Starts depend on it, so it must never change.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Range is a run of slots: the oldest, the newest, and how many there are.
type Range struct {
	First, Last time.Time
	Count       int64
}

// Between returns the slots in (after, upTo], or false when there are none.
// The count is exact and comes from arithmetic, not from a walk: decades of a
// minute job take some ten microseconds, an interval without exclusions takes
// none of it.
//
// After a downtime, Between(seen, now) gives the newest missed slot as Last,
// and Between(seen, Last.Add(-1)) all the ones before it.
func (s *Schedule) Between(after, upTo time.Time) (r Range, ok bool) {
	from, to := secondAfter(after), secondAfter(upTo)
	first, ok := s.next(from, to)
	if !ok {
		return Range{}, false
	}
	if _, more := s.next(first+1, to); !more {
		return Range{First: instant(first), Last: instant(first), Count: 1}, true // the usual case
	}
	last := first
	for lo, hi := first+1, to; lo < hi; {
		mid := lo + (hi-lo)/2
		if u, ok := s.next(mid, hi); ok {
			last, lo = u, u+1
		} else {
			hi = mid
		}
	}
	return Range{First: instant(first), Last: instant(last), Count: s.count(first, last+1)}, true
}

// excludedRun returns the slots in (after, upTo] that only the exclusions take
// away, up to the next slot that they leave: what lies between a slot and the
// following one. It answers false when there are none.
func (s *Schedule) excludedRun(after, upTo time.Time) (r Range, ok bool) {
	if len(s.excluded) == 0 {
		return Range{}, false
	}
	if next, ok := s.Next(after); ok && !next.After(upTo) {
		upTo = next.Add(-1)
	}
	all := *s
	all.excluded = nil
	return all.Between(after, upTo)
}

// ExcludedRuns returns all that excludedRun would between the slots of
// (after, upTo], in order: runs of slots that only the exclusions take away,
// with no other slot inside of one. There are at most as many as exclusions
// and changes of the clock.
func (s *Schedule) ExcludedRuns(after, upTo time.Time) (runs []Range) {
	from, to := secondAfter(after), secondAfter(upTo)
	if !s.excludesAny(floorDiv(from, daySeconds)-2, floorDiv(to, daySeconds)+2) { // whatever the zone
		return nil
	}
	all := *s
	all.excluded = nil
	for from < to {
		// The first second up to which there are more slots without exclusions.
		taken := sort.Search(int(to-from), func(n int) bool {
			limit := from + int64(n) + 1
			return all.count(from, limit) > s.count(from, limit)
		})
		run, ok := s.excludedRun(instant(from+int64(taken)-1), upTo)
		if !ok {
			break
		}
		runs = append(runs, run)
		from = secondAfter(run.Last)
	}
	return runs
}

// next returns the first slot in [u, limit).
func (s *Schedule) next(u, limit int64) (int64, bool) {
	u, limit = max(u, s.lo), min(limit, s.hi)
	switch s.kind {
	case job.CronBased:
		return s.nextCron(u, limit)
	case job.IntervalBased:
		return s.nextInterval(u, limit)
	default:
		return 0, false
	}
}

// count returns how many slots lie in [u, limit).
func (s *Schedule) count(u, limit int64) int64 {
	u, limit = max(u, s.lo), min(limit, s.hi)
	switch {
	case u >= limit:
		return 0
	case s.kind == job.CronBased:
		return s.countCron(u, limit)
	case s.kind == job.IntervalBased:
		return s.countInterval(u, limit)
	default:
		return 0
	}
}

// excludedUntil returns the last day of the exclusion that holds the day.
func (s *Schedule) excludedUntil(day int64) (int64, bool) {
	i := sort.Search(len(s.excluded), func(i int) bool { return s.excluded[i].to >= day })
	if i == len(s.excluded) || s.excluded[i].from > day {
		return 0, false
	}
	return s.excluded[i].to, true
}

// excludesAny tells whether any of the days is excluded.
func (s *Schedule) excludesAny(first, last int64) bool {
	i := sort.Search(len(s.excluded), func(i int) bool { return s.excluded[i].to >= first })
	return i < len(s.excluded) && s.excluded[i].from <= last
}

func instant(u int64) time.Time { return time.Unix(u, 0).UTC() }

// secondAfter is the first whole second after t, kept near the range of slots.
func secondAfter(t time.Time) int64 { return min(max(t.Unix(), minTime-1), maxTime-1) + 1 }
