package schedule

import "strings"

const maxCronBytes = 256

// refusal is why an expression is refused.
type refusal struct{ reason, text string }

// fieldRule is one of the five fields.
type fieldRule struct {
	name     string
	min, max int
	// last is the largest value of *.
	last int
	// names are the three-letter names from min upwards, in one string.
	names string
	// day marks the two fields in which ? stands for *.
	day bool
}

const (
	monthNames   = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
	weekdayNames = "SUNMONTUEWEDTHUFRISAT"
)

var fieldRules = [5]fieldRule{
	{name: "minute", min: 0, max: 59, last: 59},
	{name: "hour", min: 0, max: 23, last: 23},
	{name: "day of month", min: 1, max: 31, last: 31, day: true},
	{name: "month", min: 1, max: 12, last: 12, names: monthNames},
	{name: "day of week", min: 0, max: 7, last: 6, names: weekdayNames, day: true},
}

// item is one entry of a comma list: the values from, from+step, … up to to.
type item struct{ from, to, step int }

func parseCron(expr string) (cronTimes, *refusal) {
	fields, bad := splitCron(expr)
	if bad != nil {
		return cronTimes{}, bad
	}
	var sets [5]uint64
	for i := range fieldRules {
		if sets[i], bad = fieldRules[i].parse(fields[i]); bad != nil {
			return cronTimes{}, bad
		}
	}
	const sundayAs7 = 1 << 7
	if sets[4]&sundayAs7 != 0 {
		sets[4] = sets[4]&^sundayAs7 | 1
	}
	c := cronTimes{
		minutes: sets[0], hours: uint32(sets[1]), days: uint32(sets[2]), months: uint16(sets[3]), weekdays: uint8(sets[4]),
		eitherDay: !startsWithStar(fields[2]) && !startsWithStar(fields[4]),
		fixedTime: !startsWithStar(fields[0]) && !startsWithStar(fields[1]),
	}
	allDays, allWeekdays := c.days == everyDay, c.weekdays == everyWeekday
	c.daily = c.months == everyMonth && (allDays && allWeekdays || c.eitherDay && (allDays || allWeekdays))
	if !c.fires() {
		return cronTimes{}, refuse("CRON_NEVER_FIRES", "never fires: no month of %q has a day of %q; write a day that the month has", fields[3], fields[2])
	}
	return c, nil
}

func startsWithStar(field string) bool { return field[0] == '*' || field[0] == '?' }

// splitCron returns the five fields, none of them empty.
func splitCron(expr string) (fields [5]string, bad *refusal) {
	if len(expr) > maxCronBytes {
		return fields, refuse("CRON_TOO_LONG", "has %d bytes; write at most %d", len(expr), maxCronBytes)
	}
	expr = strings.Trim(expr, " \t\r\n")
	if bad = refuseCharacters(expr); bad != nil {
		return fields, bad
	}
	if strings.HasPrefix(expr, "@") {
		if expr = macro(expr); expr[0] == '@' {
			return fields, refuseMacro(expr)
		}
	}
	if bad = refuseZonePrefix(expr); bad != nil {
		return fields, bad
	}
	n := 0
	for field := range strings.FieldsSeq(expr) {
		if n < len(fields) {
			fields[n] = field
		}
		n++
	}
	if n != len(fields) {
		return fields, refuseCount(n)
	}
	return fields, nil
}

// macro returns what a macro stands for, or the text itself.
func macro(text string) string {
	switch text {
	case "@yearly", "@annually":
		return "0 0 1 1 *"
	case "@monthly":
		return "0 0 1 * *"
	case "@weekly":
		return "0 0 * * 0"
	case "@daily", "@midnight":
		return "0 0 * * *"
	case "@hourly":
		return "0 * * * *"
	default:
		return text
	}
}

// parse returns the field's values as bits.
func (f *fieldRule) parse(text string) (set uint64, bad *refusal) {
	if text == "*" || text == "?" && f.day {
		return bitRange(f.min, f.last), nil
	}
	if v, ok := number(text); ok && f.min <= v && v <= f.max {
		return bitRange(v, v), nil
	}
	for more := true; more; {
		var entry string
		entry, text, more = strings.Cut(text, ",")
		it, bad := f.parseItem(entry)
		if bad != nil {
			return 0, bad
		}
		if it.step == 1 {
			set |= bitRange(it.from, it.to)
			continue
		}
		for v := it.from; v <= it.to; v += it.step {
			set |= bitRange(v, v)
		}
	}
	return set, nil
}

// bitRange has the bits from one to another, both less than 63.
func bitRange(from, to int) uint64 { return 2<<to - 1<<from }

func (f *fieldRule) parseItem(entry string) (it item, bad *refusal) {
	body, stepText, stepped := strings.Cut(entry, "/")
	it.step = 1
	if stepped {
		n, ok := number(stepText)
		if !ok {
			return it, f.refuseItem(entry)
		}
		if n == 0 {
			return it, f.refuse("CRON_VALUE_RANGE", "the step of %q is out of range; write 1 or more", entry)
		}
		it.step = n
	}
	if body == "*" {
		it.from, it.to = f.min, f.last
		return it, nil
	}
	first, last, isRange := strings.Cut(body, "-")
	from, ok := f.value(first)
	if !ok {
		return it, f.refuseItem(entry)
	}
	to := from
	if isRange {
		if to, ok = f.value(last); !ok {
			return it, f.refuseItem(entry)
		}
		// SUN ends a week, except in SUN-SUN, which is that one day.
		if to == 0 && from > 0 && f.names == weekdayNames && isLetter(last[0]) {
			to = 7
		}
	}
	switch {
	case from < f.min || from > f.max || to < f.min || to > f.max:
		return it, f.refuse("CRON_VALUE_RANGE", "%q is out of range; write values from %d to %d", entry, f.min, f.max)
	case stepped && !isRange:
		return it, f.refuseStart(entry, first, stepText)
	case from > to:
		return it, f.refuseWrap(entry, first, last, from, to, stepped)
	}
	it.from, it.to = from, to
	return it, nil
}

// value reads a number or one of the field's names. It does not check ranges.
func (f *fieldRule) value(text string) (int, bool) {
	if len(text) == 3 && f.names != "" {
		for i := 0; i < len(f.names); i += 3 {
			if strings.EqualFold(text, f.names[i:i+3]) {
				return f.min + i/3, true
			}
		}
	}
	return number(text)
}

// number reads one to nine ASCII digits.
func number(text string) (n int, ok bool) {
	if text == "" || len(text) > 9 {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = n*10 + int(text[i]-'0')
	}
	return n, true
}

func isLetter(c byte) bool { c |= 0x20; return 'a' <= c && c <= 'z' }
