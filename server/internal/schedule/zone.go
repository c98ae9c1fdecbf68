package schedule

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// The range of all slots, in Unix seconds: 1970-01-01 up to 2200-01-01.
const (
	minTime = int64(0)
	maxTime = int64(7_258_118_400)
)

const daySeconds = 24 * 60 * 60

// span is a stretch of time in which a zone's offset does not change.
type span struct {
	// start is in Unix seconds; the span ends where the next one starts.
	start int64
	// offset is local minus UTC, in seconds.
	offset int64
	// seen is the local time up to which the clock had run before the span
	// began. A span that starts later in local time skipped what lies between;
	// one that starts earlier repeats it.
	seen int64
}

// zone is a time zone's table of spans over the range of all slots.
type zone struct {
	name  string
	spans []span
}

// find returns the index of the span that holds u, minTime <= u < maxTime.
func (z *zone) find(u int64) int {
	return sort.Search(len(z.spans), func(i int) bool { return z.spans[i].start > u }) - 1
}

// end is where span i ends, in Unix seconds.
func (z *zone) end(i int) int64 {
	if i+1 < len(z.spans) {
		return z.spans[i+1].start
	}
	return maxTime
}

// zones holds the *zone of every name that was asked for and exists, so it is
// bounded by the zone data. Package time would read a file at every call.
var zones sync.Map

func loadZone(name string) (*zone, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*zone), nil
	}
	if !zoneName(name) {
		return nil, fmt.Errorf("%.70q is not an IANA time zone name; write one such as Europe/Berlin, or UTC", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q is not known; write an IANA name such as Europe/Berlin, or UTC", name)
	}
	name = strings.Clone(name) // so that the cache does not keep a whole request
	z, _ := zones.LoadOrStore(name, &zone{name: name, spans: spansOf(loc)})
	return z.(*zone), nil
}

// zoneName tells whether name can be an IANA name. It keeps out what package
// time or the zoneinfo folder would accept besides: the empty name and Local,
// localtime, posixrules, and the right/ and posix/ copies.
func zoneName(name string) bool {
	if name == "" || len(name) > 64 || name == "Local" || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '/', c == '_', c == '-', c == '+':
		default:
			return false
		}
	}
	return true
}

// spansOf walks the zone's bounds. Neighbours of equal offset are joined:
// package time also ends a stretch where only a name changes, and at the end
// of each year beyond its table.
func spansOf(loc *time.Location) []span {
	spans := make([]span, 0, 4)
	seen := int64(0)
	for u := minTime; u < maxTime; {
		t := time.Unix(u, 0).In(loc)
		_, seconds := t.Zone()
		offset := int64(seconds)
		if n := len(spans); n == 0 || spans[n-1].offset != offset {
			if n == 0 {
				seen = u + offset
			}
			spans = append(spans, span{start: u, offset: offset, seen: seen})
		}
		u = boundAfter(t)
		seen = max(seen, u+offset)
	}
	return spans
}

// boundAfter is the end of the stretch of constant offset that holds t.
func boundAfter(t time.Time) int64 {
	_, end := t.ZoneBounds()
	if end.IsZero() {
		return maxTime
	}
	if end.After(t) {
		return min(end.Unix(), maxTime)
	}
	// On 31 December UTC of leap years beyond the zone's table, package time
	// ends the stretch a day early, at or before t. No rule changes the offset
	// on that day, so the stretch lasts until the year's end.
	return (t.Unix()/daySeconds + 1) * daySeconds
}
