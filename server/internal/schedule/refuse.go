package schedule

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// This file words what the cron language refuses: the field, the entry and
// what to write instead.

func refuse(reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, text: fmt.Sprintf(format, args...)}
}

func (f *fieldRule) refuse(reason, format string, args ...any) *refusal {
	return refuse(reason, f.name+" field: "+format, args...)
}

// refuseCharacters keeps out everything but printable ASCII, spaces and tabs:
// a no-break space or a digit of another script looks right and is not.
func refuseCharacters(expr string) *refusal {
	for i := range len(expr) {
		if c := expr[i]; c == '\t' || ' ' <= c && c <= '~' {
			continue
		}
		r, _ := utf8.DecodeRuneInString(expr[i:])
		return refuse("CRON_CHARACTER", "character %+q is not allowed; write ASCII digits, letters and signs, with spaces between the fields", r)
	}
	return nil
}

func refuseMacro(text string) *refusal {
	name, _, _ := strings.Cut(text, " ")
	switch lower := strings.ToLower(name); {
	case strings.HasPrefix(lower, "@every"):
		return refuse("CRON_UNSUPPORTED", "%q is not supported; use frequencyType INTERVAL_BASED with intervalMinutes", text)
	case lower == "@reboot":
		return refuse("CRON_UNSUPPORTED", "%q is not supported: a service has no reboot; write a time", text)
	case macro(lower) != lower && name != text:
		return refuse("CRON_UNSUPPORTED", "%q is not supported; write %s alone", text, lower)
	case macro(lower) != lower:
		return refuse("CRON_UNSUPPORTED", "%q is not supported; write %s", text, lower)
	default:
		return refuse("CRON_UNSUPPORTED", "%q is not supported; write @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or five fields", text)
	}
}

func refuseZonePrefix(expr string) *refusal {
	name, _, found := strings.Cut(expr, "=")
	if found && (strings.EqualFold(name, "TZ") || strings.EqualFold(name, "CRON_TZ")) {
		return refuse("CRON_UNSUPPORTED", "prefix \"%s=\" is not supported; write the zone into timeZone", name)
	}
	return nil
}

func refuseCount(n int) *refusal {
	const want = "write five: minute, hour, day of month, month, day of week"
	if n > 5 {
		return refuse("CRON_FIELD_COUNT", "has %d fields; %s (seconds and years are not supported)", n, want)
	}
	return refuse("CRON_FIELD_COUNT", "has %d fields; %s", n, want)
}

// refuseStart is for 5/10, which cron implementations read in three ways.
func (f *fieldRule) refuseStart(entry, first, step string) *refusal {
	last := fmt.Sprint(f.last)
	if isLetter(first[0]) {
		last = f.valueName(f.last)
	}
	if first == "7" && f.names == weekdayNames { // past the end of *
		return f.refuse("CRON_UNSUPPORTED", "%q is not supported; write 7", entry)
	}
	return f.refuse("CRON_UNSUPPORTED", "%q is not supported; write %s-%s/%s", entry, first, last, step)
}

// refuseWrap is for ranges that end before they start.
func (f *fieldRule) refuseWrap(entry, first, last string, from, to int, stepped bool) *refusal {
	if stepped {
		return f.refuse("CRON_UNSUPPORTED", "%q runs backwards; write the values as a list", entry)
	}
	least, top := f.min, fmt.Sprint(f.max)
	if f.names == weekdayNames {
		least = 1 // Sunday is in the first part, as 7
	}
	bottom := fmt.Sprint(least)
	switch named := isLetter(first[0]); {
	case named && f.names == weekdayNames:
		top, bottom = "SUN", "MON"
	case named:
		top, bottom = "DEC", "JAN"
	}
	parts := []string{first + "-" + top, bottom + "-" + last}
	if from == f.max {
		parts[0] = first
	}
	switch {
	case to < least:
		parts = parts[:1]
	case to == least:
		parts[1] = last
	}
	return f.refuse("CRON_UNSUPPORTED", "%q runs backwards; write %s", entry, strings.Join(parts, ","))
}

// refuseItem is for an entry that is not of the language at all.
func (f *fieldRule) refuseItem(entry string) *refusal {
	switch {
	case entry == "":
		return f.refuse("CRON_SYNTAX", "has an empty entry; remove the extra comma")
	case strings.Contains(entry, "#"):
		return f.refuse("CRON_UNSUPPORTED", "# (nth weekday) in %q is not supported; write the weekday alone, such as FRI, for every week", entry)
	case strings.Contains(entry, "~"):
		return f.refuse("CRON_UNSUPPORTED", "~ (random value) in %q is not supported; write a fixed value and use jitter", entry)
	case strings.Contains(entry, "?") && f.day:
		return f.refuse("CRON_SYNTAX", "? in %q must stand alone; write * instead", entry)
	case strings.Contains(entry, "?"):
		return f.refuse("CRON_UNSUPPORTED", "? is for the day fields only; write *")
	}
	for _, word := range strings.FieldsFunc(strings.ToUpper(entry), func(r rune) bool { return r < 'A' || r > 'Z' }) {
		if bad := f.refuseWord(entry, word); bad != nil {
			return bad
		}
	}
	if strings.Trim(entry, "0123456789-/") == "" && longestDigits(entry) > 9 {
		return f.refuse("CRON_VALUE_RANGE", "%q has a number of more than nine digits; write values from %d to %d", entry, f.min, f.max)
	}
	if f.names != "" {
		return f.refuse("CRON_SYNTAX", "%q is not understood; write *, a number, a name of three letters such as %s, a range or a step such as */2", entry, f.names[3:6])
	}
	return f.refuse("CRON_SYNTAX", "%q is not understood; write *, a number, a range such as %d-%d or a step such as */2", entry, f.min, f.max)
}

// refuseWord returns nil for a word that is a name of the field or unknown.
func (f *fieldRule) refuseWord(entry, word string) *refusal {
	if _, known := f.value(word); known {
		return nil
	}
	if short, full := f.shortName(word); full {
		return f.refuse("CRON_UNSUPPORTED", "%q: names have three letters; write %s", entry, short)
	}
	_, weekdayBefore := f.value(strings.TrimSuffix(word, "L"))
	switch {
	case word == "H":
		return f.refuse("CRON_UNSUPPORTED", "H (hashed value) in %q is not supported; write a fixed value and use jitter", entry)
	case f.day && (word == "L" || word == "LW" || word == "WL" || weekdayBefore):
		return f.refuse("CRON_UNSUPPORTED", "L (last) in %q is not supported; write a day that every month has, such as 28, or the first day of the next month, 1", entry)
	case f.day && word == "W":
		return f.refuse("CRON_UNSUPPORTED", "W (nearest weekday) in %q is not supported; write a day of month, or MON-FRI as day of week", entry)
	default:
		return nil
	}
}

// shortName finds the name that word writes out longer than it should be.
func (f *fieldRule) shortName(word string) (string, bool) {
	const full = " JANUARY FEBRUARY MARCH APRIL JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER" +
		" SUNDAY MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY"
	if len(word) < 4 || !strings.Contains(full, " "+word) {
		return "", false
	}
	_, known := f.value(word[:3])
	return word[:3], known
}

func longestDigits(text string) (longest int) {
	for _, digits := range strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		longest = max(longest, len(digits))
	}
	return longest
}
