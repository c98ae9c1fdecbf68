package schedule

import "time"

// maxMadeUp is the longest jump of the clock whose skipped times are made up,
// in seconds. A longer one is a correction of the calendar.
const maxMadeUp = int64(3 * time.Hour / time.Second)

// nextCron returns the first slot in [u, limit), u >= minTime. It goes from
// span to span and looks for a matching local time in each.
func (s *Schedule) nextCron(u, limit int64) (int64, bool) {
	if u >= limit {
		return 0, false
	}
	for i := s.zone.find(u); i < len(s.zone.spans) && u < limit; i++ {
		sp, end := &s.zone.spans[i], min(s.zone.end(i), limit)
		if u == sp.start && s.madeUp(sp) {
			return u, true
		}
		if local, ok := s.nextLocal(s.firstLocal(sp, u), end+sp.offset); ok {
			return local - sp.offset, true
		}
		u = end
	}
	return 0, false
}

// firstLocal is the local time from which on matches in the span count when
// the search starts at u.
func (s *Schedule) firstLocal(sp *span, u int64) int64 {
	if s.times.fixedTime && !s.runsTwice {
		return max(u+sp.offset, sp.seen)
	}
	return u + sp.offset
}

// madeUp tells whether the span's start is a slot because of a local time
// that the clock skipped there.
func (s *Schedule) madeUp(sp *span) bool {
	begin := sp.start + sp.offset
	if !s.times.fixedTime || s.skipsGap || begin-sp.seen > maxMadeUp {
		return false
	}
	_, ok := s.nextLocal(sp.seen, begin)
	return ok
}

// nextLocal returns the first matching local time in [local, limit), in
// seconds since 1970-01-01 as the clock shows it.
func (s *Schedule) nextLocal(local, limit int64) (int64, bool) {
	day, minute := splitLocal(local)
	lastDay, _ := splitLocal(limit)
	left, ok := s.times.nextMinute(minute)
	if !ok { // nothing is left of this day
		day++
	}
	found, some := s.nextDay(day, lastDay+1)
	if !some {
		return 0, false
	}
	if !ok || found > day {
		left, _ = s.times.nextMinute(0)
	}
	local = joinLocal(found, left)
	return local, local < limit
}

// nextDay returns the first matching day in [day, limit) that no exclusion
// holds. Every round passes an exclusion.
func (s *Schedule) nextDay(day, limit int64) (int64, bool) {
	for day < limit {
		found, ok := s.times.nextDay(day, limit)
		if !ok {
			return 0, false
		}
		until, excluded := s.excludedUntil(found)
		if !excluded {
			return found, true
		}
		day = until + 1
	}
	return 0, false
}

// countCron returns how many slots lie in [u, limit), lo <= u < limit <= hi.
func (s *Schedule) countCron(u, limit int64) (n int64) {
	for i := s.zone.find(u); i < len(s.zone.spans) && u < limit; i++ {
		sp, end := &s.zone.spans[i], min(s.zone.end(i), limit)
		n += s.countLocal(s.firstLocal(sp, u), end+sp.offset)
		if u == sp.start && s.madeUp(sp) {
			// The same instant can match by itself too.
			if begin := u + sp.offset; s.countLocal(begin, begin+1) == 0 {
				n++
			}
		}
		u = end
	}
	return n
}

// countLocal returns how many local times in [local, limit) match.
func (s *Schedule) countLocal(local, limit int64) int64 {
	if local >= limit {
		return 0
	}
	day, minute := splitLocal(local)
	lastDay, lastMinute := splitLocal(limit)
	n := s.countDays(day, lastDay) * s.times.countMinutes(dayMinutes)
	if s.countDays(day, day+1) == 1 {
		n -= s.times.countMinutes(minute)
	}
	if s.countDays(lastDay, lastDay+1) == 1 {
		n += s.times.countMinutes(lastMinute)
	}
	return n
}

// countDays returns how many days in [day, limit) match and are not excluded.
func (s *Schedule) countDays(day, limit int64) int64 {
	n := s.times.countDays(day, limit)
	for _, r := range s.excluded {
		n -= s.times.countDays(max(day, r.from), min(limit, r.to+1))
	}
	return n
}

const dayMinutes = 24 * 60

// splitLocal rounds a local time up to a minute and splits it.
func splitLocal(local int64) (day int64, minute int) {
	minutes := floorDiv(local+59, 60)
	day = floorDiv(minutes, dayMinutes)
	return day, int(minutes - day*dayMinutes)
}

func joinLocal(day int64, minute int) int64 { return day*daySeconds + int64(minute)*60 }
