package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

var (
	frequencyTypes  = []job.FrequencyType{job.CronBased, job.IntervalBased, job.Manual}
	gapPolicies     = []job.DSTGapPolicy{job.GapShiftForward, job.GapSkip}
	overlapPolicies = []job.DSTOverlapPolicy{job.OverlapFirst, job.OverlapBoth}
)

func cron(expr, zone string) job.Schedule {
	return job.Schedule{Type: job.CronBased, Cron: expr, TimeZone: zone}
}

func mustCompile(t testing.TB, of job.Schedule) *Schedule {
	t.Helper()
	return mustCompileFor(t, of, 0)
}

func mustCompileFor(t testing.TB, of job.Schedule, jobID int64) *Schedule {
	t.Helper()
	s, err := Compile(of, jobID)
	if err != nil {
		t.Fatalf("Compile(%+v): %v", of, err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// chain returns the next n slots as RFC 3339 text.
func chain(s *Schedule, after time.Time, n int) (list []string) {
	for range n {
		slot, ok := s.Next(after)
		if !ok {
			return append(list, "none")
		}
		list = append(list, slot.Format(time.RFC3339))
		after = slot
	}
	return list
}

func TestCronAccepts(t *testing.T) {
	t.Parallel()
	const sunday, monday = "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"
	for _, tt := range []struct {
		expr  string
		after string
		want  []string
	}{
		{"* * * * *", sunday, []string{"2026-03-01T00:01:00Z", "2026-03-01T00:02:00Z"}},
		{"5 4 * * *", sunday, []string{"2026-03-01T04:05:00Z", "2026-03-02T04:05:00Z"}},
		{"00 08 * * *", sunday, []string{"2026-03-01T08:00:00Z", "2026-03-02T08:00:00Z"}},
		{"*/20 * * * *", sunday, []string{"2026-03-01T00:20:00Z", "2026-03-01T00:40:00Z", "2026-03-01T01:00:00Z"}},
		{"10-50/20 3 * * *", sunday, []string{"2026-03-01T03:10:00Z", "2026-03-01T03:30:00Z", "2026-03-01T03:50:00Z", "2026-03-02T03:10:00Z"}},
		{"58,59,0,1 * * * *", sunday, []string{"2026-03-01T00:01:00Z", "2026-03-01T00:58:00Z", "2026-03-01T00:59:00Z", "2026-03-01T01:00:00Z"}},
		{"1,1 0 * * *", sunday, []string{"2026-03-01T00:01:00Z", "2026-03-02T00:01:00Z"}},
		{"*/90 * * * *", sunday, []string{"2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z"}},
		{"1-10/20 0 * * *", sunday, []string{"2026-03-01T00:01:00Z", "2026-03-02T00:01:00Z"}},
		{"*/60 */24 * * *", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"}},
		{"*/999999999 0 * * *", sunday, []string{"2026-03-02T00:00:00Z"}},
		{"0 0 * * 7", sunday, []string{"2026-03-08T00:00:00Z", "2026-03-15T00:00:00Z"}},
		{"0 0 * * 0,7", sunday, []string{"2026-03-08T00:00:00Z", "2026-03-15T00:00:00Z"}},
		{"0 0 * * 5-7", monday, []string{"2026-03-06T00:00:00Z", "2026-03-07T00:00:00Z", "2026-03-08T00:00:00Z", "2026-03-13T00:00:00Z"}},
		{"0 0 * * 7-7", sunday, []string{"2026-03-08T00:00:00Z", "2026-03-15T00:00:00Z"}},
		{"0 0 * * 0-0", sunday, []string{"2026-03-08T00:00:00Z", "2026-03-15T00:00:00Z"}},
		{"0 0 * * 0-7", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"}},
		{"0 0 * * 1-7", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"}},
		{"0 0 * * MON-SUN", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"}},
		{"0 0 * * FRI-SUN", monday, []string{"2026-03-06T00:00:00Z", "2026-03-07T00:00:00Z", "2026-03-08T00:00:00Z", "2026-03-13T00:00:00Z"}},
		{"0 0 * * SAT-SUN", monday, []string{"2026-03-07T00:00:00Z", "2026-03-08T00:00:00Z", "2026-03-14T00:00:00Z"}},
		{"0 0 * * SUN-MON", monday, []string{"2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-15T00:00:00Z"}},
		{"0 0 * * SUN-SUN", monday, []string{"2026-03-08T00:00:00Z", "2026-03-15T00:00:00Z"}},
		{"0 0 * * MON-5/2", monday, []string{"2026-03-04T00:00:00Z", "2026-03-06T00:00:00Z", "2026-03-09T00:00:00Z"}},
		{"0 0 * * mon,Fri", monday, []string{"2026-03-06T00:00:00Z", "2026-03-09T00:00:00Z"}},
		{"0 0 1 jan-3 *", sunday, []string{"2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"}},
		{"0 0 1 Oct-DEC *", sunday, []string{"2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-10-01T00:00:00Z"}},
		{"0 0 31 * *", sunday, []string{"2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z", "2026-07-31T00:00:00Z"}},
		{"0 0 29 2 *", sunday, []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"0 0 29 2 *", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{"*/5 * * 12 *", sunday, []string{"2026-12-01T00:00:00Z", "2026-12-01T00:05:00Z"}},
		{"0 0 */10 * *", sunday, []string{"2026-03-11T00:00:00Z", "2026-03-21T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-01T00:00:00Z"}},
		{"0 0 1 */12 *", sunday, []string{"2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"}},

		// Both day fields: OR when neither starts with *.
		{"0 0 13 * 5", sunday, []string{"2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z", "2026-03-27T00:00:00Z", "2026-04-03T00:00:00Z"}},
		{"0 0 1 * MON", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"}},
		{"0 0 1-31 * 1", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"}},
		{"0 0 10,*/20 * 1", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-10T00:00:00Z", "2026-03-16T00:00:00Z", "2026-03-21T00:00:00Z"}},
		// AND when one does.
		{"0 0 */2 * 1", sunday, []string{"2026-03-09T00:00:00Z", "2026-03-23T00:00:00Z", "2026-04-13T00:00:00Z"}},
		{"0 0 13 * */5", sunday, []string{"2026-03-13T00:00:00Z", "2026-09-13T00:00:00Z", "2026-11-13T00:00:00Z"}},
		{"0 0 *,5 * 1", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"}},
		{"0 0 29 2 */7", sunday, []string{"2032-02-29T00:00:00Z", "2060-02-29T00:00:00Z", "2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"}},

		{"0 0 ? * 1", sunday, []string{"2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"}},
		{"0 0 5 * ?", sunday, []string{"2026-03-05T00:00:00Z", "2026-04-05T00:00:00Z"}},
		{"0 0 ? * ?", sunday, []string{"2026-03-02T00:00:00Z"}},
		{"  0\t0   1 * *\r\n", sunday, []string{"2026-04-01T00:00:00Z"}},

		{"@yearly", sunday, []string{"2027-01-01T00:00:00Z"}},
		{"@annually", sunday, []string{"2027-01-01T00:00:00Z"}},
		{"@monthly", sunday, []string{"2026-04-01T00:00:00Z"}},
		{"@weekly", sunday, []string{"2026-03-08T00:00:00Z"}},
		{"@daily", sunday, []string{"2026-03-02T00:00:00Z"}},
		{"@midnight", sunday, []string{"2026-03-02T00:00:00Z"}},
		{" @hourly ", sunday, []string{"2026-03-01T01:00:00Z"}},
	} {
		s, err := Compile(cron(tt.expr, "UTC"), 0)
		if err != nil {
			t.Errorf("%q: %v", tt.expr, err)
			continue
		}
		if diff := cmp.Diff(tt.want, chain(s, at(t, tt.after), len(tt.want))); diff != "" {
			t.Errorf("%q after %s (-want +got):\n%s", tt.expr, tt.after, diff)
		}
	}
}

func TestCronRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ expr, reason, text string }{
		{"", "CRON_FIELD_COUNT", "has 0 fields; write five"},
		{" \t\r\n", "CRON_FIELD_COUNT", "has 0 fields"},
		{"* * * *", "CRON_FIELD_COUNT", "has 4 fields"},
		{"0 * * * * *", "CRON_FIELD_COUNT", "has 6 fields; write five: minute, hour, day of month, month, day of week (seconds and years are not supported)"},
		{"0 0 12 * * ? 2030", "CRON_FIELD_COUNT", "has 7 fields"},
		{strings.Repeat(" ", 250) + "* * * * *", "CRON_TOO_LONG", "has 259 bytes; write at most 256"},
		{strings.Repeat("1,", 123) + "11 * * * *", "", ""}, // 256 bytes are allowed

		{"5/10 * * * *", "CRON_UNSUPPORTED", `minute field: "5/10" is not supported; write 5-59/10`},
		{"0/15 * * * *", "CRON_UNSUPPORTED", "write 0-59/15"},
		{"0 2/4 * * *", "CRON_UNSUPPORTED", `hour field: "2/4" is not supported; write 2-23/4`},
		{"0 0 3/7 * *", "CRON_UNSUPPORTED", "day of month field: \"3/7\" is not supported; write 3-31/7"},
		{"0 0 1 FEB/3 *", "CRON_UNSUPPORTED", "write FEB-DEC/3"},
		{"0 0 1 2/3 *", "CRON_UNSUPPORTED", "write 2-12/3"},
		{"0 0 * * 1/2", "CRON_UNSUPPORTED", "day of week field: \"1/2\" is not supported; write 1-6/2"},
		{"0 0 * * MON/2", "CRON_UNSUPPORTED", "write MON-SAT/2"},
		{"0 0 * * 7/2", "CRON_UNSUPPORTED", "write 7"},

		{"0 0 * * FRI-MON", "CRON_UNSUPPORTED", `day of week field: "FRI-MON" runs backwards; write FRI-SUN,MON`},
		{"0 0 * * sat-tue", "CRON_UNSUPPORTED", "write sat-SUN,MON-tue"},
		{"0 0 * * 5-2", "CRON_UNSUPPORTED", "write 5-7,1-2"},
		{"0 0 * * 6-0", "CRON_UNSUPPORTED", "write 6-7"},
		{"0 0 * * 7-1", "CRON_UNSUPPORTED", "write 7,1"},
		{"0 22-2 * * *", "CRON_UNSUPPORTED", `hour field: "22-2" runs backwards; write 22-23,0-2`},
		{"0 23-0 * * *", "CRON_UNSUPPORTED", "write 23,0"},
		{"0 0 1 NOV-FEB *", "CRON_UNSUPPORTED", "write NOV-DEC,JAN-FEB"},
		{"0 0 1 DEC-JAN *", "CRON_UNSUPPORTED", "write DEC,JAN"},
		{"0 0 30-5 * *", "CRON_UNSUPPORTED", "write 30-31,1-5"},
		{"0 23-1/1 * * *", "CRON_UNSUPPORTED", "write the values as a list"},
		{"10-0/10 * * * *", "CRON_UNSUPPORTED", "runs backwards"},
		{"0 0 1 10-1 0", "CRON_UNSUPPORTED", "month field"},
		{"1 15-0 * * 1-5", "CRON_UNSUPPORTED", "hour field"},

		{"0 0 L * *", "CRON_UNSUPPORTED", "day of month field: L (last)"},
		{"0 0 L-3 * *", "CRON_UNSUPPORTED", "L (last)"},
		{"0 0 LW * *", "CRON_UNSUPPORTED", "L (last)"},
		{"0 0 * * 5L", "CRON_UNSUPPORTED", "day of week field: L (last)"},
		{"0 0 * * FRIL", "CRON_UNSUPPORTED", "L (last)"},
		{"0 0 15W * *", "CRON_UNSUPPORTED", "W (nearest weekday)"},
		{"0 0 * * 1#2", "CRON_UNSUPPORTED", "# (nth weekday)"},
		{"0 0 * * FRI#3", "CRON_UNSUPPORTED", "# (nth weekday)"},
		{"H * * * *", "CRON_UNSUPPORTED", "H (hashed value)"},
		{"H/15 * * * *", "CRON_UNSUPPORTED", "H (hashed value)"},
		{"H(0-29)/10 * * * *", "CRON_UNSUPPORTED", "H (hashed value)"},
		{"0~30 * * * *", "CRON_UNSUPPORTED", "~ (random value)"},
		{"TZ=UTC 0 0 * * *", "CRON_UNSUPPORTED", `prefix "TZ=" is not supported; write the zone into timeZone`},
		{"CRON_TZ=Europe/Berlin 0 0 * * *", "CRON_UNSUPPORTED", `prefix "CRON_TZ="`},
		{"cron_tz= 0 0 * * *", "CRON_UNSUPPORTED", "write the zone into timeZone"},
		{"TZ=", "CRON_UNSUPPORTED", "write the zone into timeZone"},
		{"@every 5m", "CRON_UNSUPPORTED", "use frequencyType INTERVAL_BASED with intervalMinutes"},
		{"@every 0s", "CRON_UNSUPPORTED", "INTERVAL_BASED"},
		{"@reboot", "CRON_UNSUPPORTED", "a service has no reboot"},
		{"@Daily", "CRON_UNSUPPORTED", `"@Daily" is not supported; write @daily`},
		{"@HOURLY", "CRON_UNSUPPORTED", "write @hourly"},
		{"@daily 5", "CRON_UNSUPPORTED", "write @daily alone"},
		{"@fortnightly", "CRON_UNSUPPORTED", "write @yearly"},
		{"@", "CRON_UNSUPPORTED", "or five fields"},

		{"0 0 * * MONDAY", "CRON_UNSUPPORTED", "names have three letters; write MON"},
		{"0 0 * * tues", "CRON_UNSUPPORTED", "write TUE"},
		{"0 0 * * Mon-Friday", "CRON_UNSUPPORTED", "write FRI"},
		{"0 0 1 january *", "CRON_UNSUPPORTED", "write JAN"},
		{"0 0 1 sept *", "CRON_UNSUPPORTED", "write SEP"},
		{"0 0 1 MON *", "CRON_SYNTAX", "month field"},
		{"0 0 * * JAN", "CRON_SYNTAX", "such as MON"},
		{"MON * * * *", "CRON_SYNTAX", "minute field"},
		{"JAN/2 * * * *", "CRON_SYNTAX", "minute field"},

		{"60 * * * *", "CRON_VALUE_RANGE", `minute field: "60" is out of range; write values from 0 to 59`},
		{"0 24 * * *", "CRON_VALUE_RANGE", `hour field: "24" is out of range; write values from 0 to 23`},
		{"0 0 0 * *", "CRON_VALUE_RANGE", "from 1 to 31"},
		{"0 0 32 * *", "CRON_VALUE_RANGE", "from 1 to 31"},
		{"0 0 1 0 *", "CRON_VALUE_RANGE", "from 1 to 12"},
		{"0 0 1 13 *", "CRON_VALUE_RANGE", "from 1 to 12"},
		{"0 0 * * 8", "CRON_VALUE_RANGE", "from 0 to 7"},
		{"0,70000000 0 1 1 *", "CRON_VALUE_RANGE", `"70000000"`},
		{"50-60 * * * *", "CRON_VALUE_RANGE", `"50-60"`},
		{"0000000001 * * * *", "CRON_VALUE_RANGE", "more than nine digits"},
		{"99999999999999999999 * * * *", "CRON_VALUE_RANGE", "more than nine digits"},
		{"*/0 * * * *", "CRON_VALUE_RANGE", "write 1 or more"},
		{"1-5/0 * * * *", "CRON_VALUE_RANGE", "write 1 or more"},

		{", * * * *", "CRON_SYNTAX", "minute field: has an empty entry; remove the extra comma"},
		{", , , , ,", "CRON_SYNTAX", "empty entry"},
		{"1,,2 * * * *", "CRON_SYNTAX", "empty entry"},
		{"1, * * * *", "CRON_SYNTAX", "empty entry"},
		{"? * * * *", "CRON_UNSUPPORTED", "? is for the day fields only; write *"},
		{"0 0 1 ? *", "CRON_UNSUPPORTED", "month field: ? is for the day fields only"},
		{"0 0 ?,5 * *", "CRON_SYNTAX", "must stand alone"},
		{"0 0 ?/2 * *", "CRON_SYNTAX", "must stand alone"},
		{"5; * * * *", "CRON_SYNTAX", `"5;" is not understood`},
		{"1.5 * * * *", "CRON_SYNTAX", "not understood"},
		{"*5 * * * *", "CRON_SYNTAX", "not understood"},
		{"-5 * * * *", "CRON_SYNTAX", "not understood"},
		{"5- * * * *", "CRON_SYNTAX", "not understood"},
		{"1-2-3 * * * *", "CRON_SYNTAX", "not understood"},
		{"*-5 * * * *", "CRON_SYNTAX", "not understood"},
		{"** * * * *", "CRON_SYNTAX", "not understood"},
		{"*/ * * * *", "CRON_SYNTAX", "not understood"},
		{"*/2/3 * * * *", "CRON_SYNTAX", "not understood"},
		{"*/-2 * * * *", "CRON_SYNTAX", "not understood"},
		{"+5 * * * *", "CRON_SYNTAX", "not understood"},
		{"0x5 * * * *", "CRON_SYNTAX", "not understood"},
		{"/5 * * * *", "CRON_SYNTAX", "not understood"},
		{"a b c d e", "CRON_SYNTAX", "not understood"},

		{"0\u00a00 * * *", "CRON_CHARACTER", `'\u00a0'`},
		{"0\u30000 * * *", "CRON_CHARACTER", `'\u3000'`},
		{"\u0665 * * * *", "CRON_CHARACTER", `'\u0665'`},
		{"0 0 * * *\x00", "CRON_CHARACTER", `'\x00'`},
		{"0 0 *\n* *", "CRON_CHARACTER", `'\n'`},
		{"\xff * * * *", "CRON_CHARACTER", `'\ufffd'`},

		{"0 0 31 2 *", "CRON_NEVER_FIRES", `never fires: no month of "2" has a day of "31"`},
		{"0 0 30 2 *", "CRON_NEVER_FIRES", "never fires"},
		{"0 0 31 4,6,9,NOV *", "CRON_NEVER_FIRES", "never fires"},
		{"0 0 30-31 2 *", "CRON_NEVER_FIRES", "never fires"},
		{"0 0 31 2 */2", "CRON_NEVER_FIRES", "never fires"},
		{"0 0 31 2 1", "", ""}, // OR: every Monday of February
	} {
		_, err := Compile(cron(tt.expr, "UTC"), 0)
		if tt.reason == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.expr, err)
			}
			continue
		}
		invalid, ok := errors.AsType[*job.InvalidError](err)
		if !ok {
			t.Errorf("%q: got error %v, want InvalidError", tt.expr, err)
			continue
		}
		v := invalid.Violations[0]
		if len(invalid.Violations) != 1 || v.Field != "cronExpression" || v.Reason != tt.reason || !strings.Contains(v.Description, tt.text) {
			t.Errorf("%q: got %+v, want %s with %q", tt.expr, invalid.Violations, tt.reason, tt.text)
		}
	}
}

// What a message says to write instead must itself be accepted.
func TestCronFixesAreAccepted(t *testing.T) {
	t.Parallel()
	for i := range fieldRules {
		f := &fieldRules[i]
		for from := f.min; from <= f.max; from++ {
			for to := f.min; to < from; to++ {
				checkFix(t, i, f.text(from)+"-"+f.text(to))
				if f.names != "" {
					checkFix(t, i, f.valueName(from)+"-"+f.valueName(to))
				}
			}
			checkFix(t, i, f.text(from)+"/3")
			if f.names != "" {
				checkFix(t, i, f.valueName(from)+"/3")
			}
		}
	}
}

func (f *fieldRule) text(v int) string {
	return strings.TrimLeft(string(rune('0'+v/10)), "0") + string(rune('0'+v%10))
}

func checkFix(t *testing.T, field int, entry string) {
	t.Helper()
	_, bad := fieldRules[field].parse(entry)
	if bad == nil { // SUN-MON is no wrap
		return
	}
	_, fix, ok := strings.Cut(bad.text, "; write ")
	if !ok {
		t.Fatalf("%q: no fix in %q", entry, bad.text)
	}
	if _, bad := fieldRules[field].parse(fix); bad != nil {
		t.Errorf("%q: the fix %q is refused: %s", entry, fix, bad.text)
	}
}
