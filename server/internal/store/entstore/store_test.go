package entstore

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

func TestRequestsAreForgottenAfterADay(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		s := openMigrated(t, url)
		create := func(key string) int64 {
			t.Helper()
			in, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{Key: key, Digest: "d"})
			if err != nil {
				t.Fatal(err)
			}
			return in.ID
		}
		// age is how long ago the requests so far were made.
		age := func(d time.Duration) {
			t.Helper()
			if _, err := s.db.ExecContext(t.Context(), "UPDATE request_keys SET created_at = $1", micros(time.Now().Add(-d))); err != nil {
				t.Fatal(err)
			}
		}
		remembered := func() (n int) {
			t.Helper()
			if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM request_keys").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		first := create("k")
		age(23 * time.Hour)
		if create("k") != first {
			t.Error("forgotten after 23 hours")
		}
		age(25 * time.Hour)
		if create("k") == first {
			t.Error("remembered after 25 hours")
		}
		_ = create("l")
		age(25 * time.Hour)
		_ = create("m")
		if _, _, err := s.PruneHistory(t.Context(), time.Now(), 100); err != nil {
			t.Fatal(err)
		}
		if n := remembered(); n != 1 {
			t.Errorf("%d requests are kept, want 1", n)
		}
	})
}

func TestPoliciesText(t *testing.T) {
	t.Parallel()
	retry := &job.RetryPolicy{Count: 2, MinBackoff: time.Second, MaxBackoff: time.Minute}
	for _, c := range []struct {
		p    job.Policies
		want string
	}{
		{job.Policies{}, ""},
		{job.Policies{}.WithDefaults(), ""},
		{job.Policies{Overlap: job.OverlapAllow}.WithDefaults(), `{"overlap":"ALLOW"}`},
		{job.Policies{CatchUpWindow: time.Second}, `{"catchUpWindow":1000000000}`},
		{job.Policies{Retry: retry}, `{"retry":{"count":2,"minBackoff":1000000000,"maxBackoff":60000000000,"maxDoublings":0}}`},
	} {
		text := policiesText(c.p)
		if text != c.want {
			t.Errorf("%+v is stored as %s, want %s", c.p, text, c.want)
		}
		got, err := policiesOf(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.p.WithDefaults(), got); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
	}
}

func TestOptionsText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	for _, c := range []struct {
		o    job.ScheduleOptions
		want string
	}{
		{job.ScheduleOptions{}, ""},
		{job.ScheduleOptions{DSTGap: job.GapSkip, DSTOverlap: job.OverlapBoth}, `{"dstGap":"SKIP","dstOverlap":"BOTH"}`},
		{job.ScheduleOptions{Start: at, End: at, Jitter: time.Second}, `{"start":"2026-01-02T03:04:05.000678Z","end":"2026-01-02T03:04:05.000678Z","jitter":1000000000}`},
		{job.ScheduleOptions{ExcludedDates: []string{"2026-12-24"}, Since: at}, `{"excludedDates":["2026-12-24"],"since":"2026-01-02T03:04:05.000678Z"}`},
	} {
		text := optionsText(c.o)
		if text != c.want {
			t.Errorf("%+v is stored as %s, want %s", c.o, text, c.want)
		}
		got, err := optionsOf(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.o, got); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
	}
	if text := optionsText(job.ScheduleOptions{DSTGap: job.GapShiftForward, DSTOverlap: job.OverlapFirst}); text != "" {
		t.Errorf("the defaults are stored as %s", text)
	}
	if _, err := optionsOf(`{"jitter":"x"}`); err == nil {
		t.Error("damaged options are read")
	}
}

func TestTimesAreExact(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	for _, c := range []struct{ given, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.Date(2031, 5, 6, 7, 8, 9, 123456789, zone), time.Date(2031, 5, 6, 6, 8, 9, 123456000, time.UTC)},
		{time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	} {
		if got := timeOf(micros(c.given)); got != c.want {
			t.Errorf("%v comes back as %v", c.given, got)
		}
	}
}

// Lists and look-ups must not read a whole table, however much history there
// is. SQLite tells its plan without data; both databases have the same indexes.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	s := openFresh(t)
	for name, query := range map[string]string{
		"job":                    jobQuery + "WHERE j.id = $2",
		"jobs":                   jobQuery + "WHERE j.instance_id = $2 AND j.id < $3 ORDER BY j.id DESC LIMIT $4",
		"execution":              oneExecution,
		"executions of job":      executionsOfJob,
		"executions of instance": executionsOfInstance,
		"scheduled between":      scheduledBetween,
		"executions between":     executionsBetween,
		"ended above":            s.endedAbove(),
		"latest":                 latestSQLite,
	} {
		rows, err := s.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, 1, 2, 3, 4)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			for _, table := range []string{"SCAN e", "SCAN executions", "SCAN x", "SCAN j", "SCAN s", "SCAN u"} {
				if (step == table || strings.HasPrefix(step, table+" ")) && !strings.Contains(step, "VIRTUAL TABLE") {
					t.Errorf("%s: %s", name, step)
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSilenceEndsWithAnAnswerToACaller: what the engine hears on its own connections,
// and what fails, says nothing about those of callers.
func TestSilenceEndsWithAnAnswerToACaller(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		s := openMigrated(t, url)
		silent := func(what string, want bool, err error) {
			t.Helper()
			if got := s.Silence() >= time.Hour; got != want {
				t.Errorf("silent after %s: %v, want %v (%v)", what, got, want, err)
			}
			s.opened = s.opened.Add(-2 * time.Hour)
		}
		s.opened = s.opened.Add(-2 * time.Hour)
		_, err := s.NextWork(t.Context())
		silent("a look for work", true, err)
		_, err = s.Instance(t.Context(), 1)
		silent("a question that failed", true, err)
		_, err = s.Replicas(t.Context())
		silent("an answer", false, err)
		_, err = s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{})
		silent("a write", false, err)
	})
}
