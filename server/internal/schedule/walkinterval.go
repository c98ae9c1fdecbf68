package schedule

// nextInterval returns the first slot in [u, limit).
func (s *Schedule) nextInterval(u, limit int64) (int64, bool) {
	for {
		u = s.anchor + max(1, floorDiv(u-s.anchor+s.interval-1, s.interval))*s.interval
		if u >= limit {
			return 0, false
		}
		if len(s.excluded) == 0 {
			return u, true
		}
		i := s.zone.find(u)
		offset := s.zone.spans[i].offset
		until, excluded := s.excludedUntil(floorDiv(u+offset, daySeconds))
		if !excluded {
			return u, true
		}
		// Go on where the excluded dates end, or where the offset changes.
		u = min((until+1)*daySeconds-offset, s.zone.end(i))
	}
}

// countInterval returns how many slots lie in [u, limit), u < limit <= hi.
func (s *Schedule) countInterval(u, limit int64) int64 {
	n := s.countTicks(u, limit)
	if len(s.excluded) == 0 {
		return n
	}
	for i := s.zone.find(u); i < len(s.zone.spans) && u < limit; i++ {
		end, offset := min(s.zone.end(i), limit), s.zone.spans[i].offset
		for _, r := range s.excluded {
			n -= s.countTicks(max(u, r.from*daySeconds-offset), min(end, (r.to+1)*daySeconds-offset))
		}
		u = end
	}
	return n
}

// countTicks returns how many slots lie in [u, limit), whatever is excluded.
func (s *Schedule) countTicks(u, limit int64) int64 {
	if u >= limit {
		return 0
	}
	return s.ticksBefore(limit) - s.ticksBefore(u)
}

// ticksBefore returns how many slots lie before u.
func (s *Schedule) ticksBefore(u int64) int64 {
	return max(0, floorDiv(u-s.anchor-1, s.interval))
}
