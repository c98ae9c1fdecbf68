package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

const (
	gapSkip    = carillonv1.DaylightSaving_SKIP
	gapForward = carillonv1.DaylightSaving_SHIFT_FORWARD
	clockBoth  = carillonv1.DaylightSaving_BOTH
	clockFirst = carillonv1.DaylightSaving_FIRST
)

// refusedOptions are wrong options and limits, by what is wrong.
func refusedOptions() map[string]struct {
	change change
	want   []string
} {
	dates := func(list ...string) change { return func(j *carillonv1.Job) { j.ExcludedDates = list } }
	window := func(start, end string) change {
		return func(j *carillonv1.Job) { j.StartTime, j.EndTime = day(start), day(end) }
	}
	interval := schedule(carillonv1.Job_INTERVAL_BASED, "", 5)
	both := func(changes ...change) change {
		return func(j *carillonv1.Job) {
			for _, do := range changes {
				do(j)
			}
		}
	}
	length := func(set func(*carillonv1.Job, *durationpb.Duration), d time.Duration) change {
		return func(j *carillonv1.Job) { set(j, durationpb.New(d)) }
	}
	jitter := func(j *carillonv1.Job, d *durationpb.Duration) { j.Jitter = d }
	limit := func(j *carillonv1.Job, d *durationpb.Duration) { j.ExecutionTimeLimit = d }
	return map[string]struct {
		change change
		want   []string
	}{
		"gap policy of an interval":      {both(interval, func(j *carillonv1.Job) { j.DstGapPolicy = gapSkip }), []string{"dstGapPolicy NOT_FOR_FREQUENCY_TYPE"}},
		"default policy of an interval":  {both(interval, func(j *carillonv1.Job) { j.DstGapPolicy = gapForward }), []string{"dstGapPolicy NOT_FOR_FREQUENCY_TYPE"}},
		"clock policies of one by hand":  {both(schedule(carillonv1.Job_MANUAL, "", none), func(j *carillonv1.Job) { j.DstGapPolicy, j.DstOverlapPolicy = gapSkip, clockBoth }), []string{"dstGapPolicy NOT_FOR_FREQUENCY_TYPE", "dstOverlapPolicy NOT_FOR_FREQUENCY_TYPE"}},
		"unknown gap policy":             {func(j *carillonv1.Job) { j.DstGapPolicy = 9 }, []string{"dstGapPolicy ENUM_DEFINED_ONLY"}},
		"unknown overlap policy":         {func(j *carillonv1.Job) { j.DstOverlapPolicy = -1 }, []string{"dstOverlapPolicy ENUM_DEFINED_ONLY"}},
		"end before start":               {window("06 00:00:00", "05 00:00:00"), []string{"endTime END_BEFORE_START"}},
		"end at start":                   {window("06 00:00:00", "06 00:00:00"), []string{"endTime END_BEFORE_START"}},
		"end before start, by hand":      {both(schedule(carillonv1.Job_MANUAL, "", none), window("06 00:00:00", "05 00:00:00")), []string{"endTime END_BEFORE_START"}},
		"start too late":                 {func(j *carillonv1.Job) { j.StartTime = timestamppb.New(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)) }, []string{"startTime TIME_RANGE"}},
		"start that is no time":          {func(j *carillonv1.Job) { j.StartTime = &timestamppb.Timestamp{Seconds: 1 << 60} }, []string{"startTime OUT_OF_RANGE"}},
		"negative jitter":                {length(jitter, -1), []string{"jitter DURATION_GTE_LTE"}},
		"jitter too long":                {length(jitter, 24*time.Hour+1), []string{"jitter DURATION_GTE_LTE"}},
		"no dates":                       {dates("2026-12-24", "Christmas", "", "2026-02-30", "2026-12-24/"), []string{"excludedDates[1] EXCLUSION_DATE", "excludedDates[2] EXCLUSION_DATE", "excludedDates[3] EXCLUSION_DATE", "excludedDates[4] EXCLUSION_DATE"}},
		"range backwards":                {dates("2027-01-06/2026-12-24"), []string{"excludedDates[0] EXCLUSION_ORDER"}},
		"long date":                      {dates("2026-12-24/2026-12-245"), []string{"excludedDates[0] STRING_MAX_LEN"}},
		"many dates":                     {dates(strings.Split(strings.Repeat("2026-12-24 ", 1001), " ")[:1001]...), []string{"excludedDates REPEATED_MAX_ITEMS"}},
		"negative limit":                 {func(j *carillonv1.Job) { j.MaxExecutions = -1 }, []string{"maxExecutions INT32_GTE_LTE"}},
		"limit too high":                 {func(j *carillonv1.Job) { j.MaxExecutions = 1_000_000_001 }, []string{"maxExecutions INT32_GTE_LTE"}},
		"time limit too short":           {length(limit, time.Second-1), []string{"executionTimeLimit DURATION_GTE_LTE"}},
		"time limit too long":            {length(limit, 30*24*time.Hour+1), []string{"executionTimeLimit DURATION_GTE_LTE"}},
		"failures too many":              {func(j *carillonv1.Job) { j.PauseAfterFailures = 1001 }, []string{"pauseAfterFailures INT32_GTE_LTE"}},
		"negative failures":              {func(j *carillonv1.Job) { j.PauseAfterFailures = -1 }, []string{"pauseAfterFailures INT32_GTE_LTE"}},
		"priority too high":              {func(j *carillonv1.Job) { j.Priority = 101 }, []string{"priority INT32_GTE_LTE"}},
		"priority too low":               {func(j *carillonv1.Job) { j.Priority = -101 }, []string{"priority INT32_GTE_LTE"}},
		"everything that is ours to say": {both(interval, window("06 00:00:00", "05 00:00:00"), dates("x"), func(j *carillonv1.Job) { j.DstOverlapPolicy = clockBoth }), []string{"dstOverlapPolicy NOT_FOR_FREQUENCY_TYPE", "endTime END_BEFORE_START", "excludedDates[0] EXCLUSION_DATE"}},
	}
}

func TestOptionRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	before := b.create(in, hourly(t))
	for name, test := range refusedOptions() {
		t.Run(name, func(t *testing.T) {
			j := hourly(t)
			test.change(j)
			_, err := b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in, Job: j})
			if diff := cmp.Diff(test.want, violations(err)); diff != "" {
				t.Errorf("violations of a creation (-want +got):\n%s", diff)
			}
			j.Id = before.GetId()
			_, err = b.update(j)
			if diff := cmp.Diff(test.want, violations(err)); diff != "" {
				t.Errorf("violations of a change (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(before, b.get(before.GetId()), protocmp.Transform()); diff != "" {
		t.Errorf("a refused change has changed the job (-before +after):\n%s", diff)
	}
}

// What is wrong of an option depends on the rest of the job.
func TestOptionsAreCheckedWithTheJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), full(t)) // ends on the 31st
	for name, test := range map[string]struct {
		change *carillonv1.Job
		mask   []string
		want   []string
	}{
		"start after the end that is there": {&carillonv1.Job{StartTime: day("31 00:00:00")}, nil, []string{"endTime END_BEFORE_START"}},
		"type with a policy for the clock": {
			&carillonv1.Job{FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(5), DstGapPolicy: gapSkip}, nil,
			[]string{"dstGapPolicy NOT_FOR_FREQUENCY_TYPE"},
		},
		"inside of a time": {&carillonv1.Job{}, []string{"start_time.seconds"}, []string{"updateMask UNKNOWN_FIELD"}},
		"pause":            {&carillonv1.Job{}, []string{"pause"}, []string{"updateMask OUTPUT_ONLY"}},
	} {
		t.Run(name, func(t *testing.T) {
			change := proto.CloneOf(test.change)
			change.Id = j.GetId()
			_, err := b.update(change, test.mask...)
			if diff := cmp.Diff(test.want, violations(err)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
	// A job that is not by cron can be sent back as it was read, also all of it.
	interval := b.create(j.GetInstanceId(), &carillonv1.Job{Workflow: document(t, noop), FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(5)})
	echo := proto.CloneOf(interval)
	same := must(b.update(echo, "*"))(t)
	if diff := cmp.Diff(interval, same, protocmp.Transform()); diff != "" {
		t.Errorf("sending it back has changed the job (-before +after):\n%s", diff)
	}
	// And one that becomes one by cron gets the defaults for the clock.
	cron := must(b.update(&carillonv1.Job{Id: interval.GetId(), FrequencyType: carillonv1.Job_CRON_BASED, CronExpression: wrapperspb.String("0 * * * *")}))(t)
	if cron.GetDstGapPolicy() != gapForward || cron.GetDstOverlapPolicy() != clockFirst {
		t.Errorf("policies for the clock are %v and %v", cron.GetDstGapPolicy(), cron.GetDstOverlapPolicy())
	}
}

// The warnings of a job name the next days at which the clock changes.
func TestWarningsOfAJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := hourly(t)
	j.CronExpression, j.TimeZone = wrapperspb.String("30 2,1 * * *"), proto.String("America/New_York")
	warnings := func(j *carillonv1.Job) (list []string) {
		for _, w := range j.GetWarnings() {
			list = append(list, w.GetCode()+": "+w.GetMessage())
		}
		return list
	}
	want := []string{
		"DST_OVERLAP: 2026-11-01 01:30 comes twice in America/New_York, where the clock goes back from 02:00 to 01:00: it runs the first time only (2026-11-01T05:30:00Z)",
		"DST_GAP: 2027-03-14 02:30 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it runs once at 03:00 instead (2027-03-14T07:00:00Z)",
	}
	made := b.create(b.instance().GetId(), j)
	if diff := cmp.Diff(want, warnings(made)); diff != "" {
		t.Errorf("warnings of the new job (-want +got):\n%s", diff)
	}
	want = []string{
		"DST_OVERLAP: 2026-11-01 01:30 comes twice in America/New_York, where the clock goes back from 02:00 to 01:00: it runs both times (2026-11-01T05:30:00Z and 2026-11-01T06:30:00Z)",
		"DST_GAP: 2027-03-14 02:30 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it does not run then",
	}
	changed := must(b.update(&carillonv1.Job{Id: made.GetId(), DstGapPolicy: gapSkip, DstOverlapPolicy: clockBoth}))(t)
	for name, got := range map[string]*carillonv1.Job{"changed": changed, "read": b.get(made.GetId())} {
		if diff := cmp.Diff(want, warnings(got)); diff != "" {
			t.Errorf("warnings of the %s job (-want +got):\n%s", name, diff)
		}
	}
	ended := must(b.update(&carillonv1.Job{Id: made.GetId(), EndTime: day("04 00:00:00")}))(t)
	want = []string{"NO_MORE_SLOTS: there is no time after 2026-05-04T12:00:30Z at which it is due: see startTime, endTime and excludedDates"}
	if diff := cmp.Diff(want, warnings(ended)); diff != "" || ended.GetState() != carillonv1.Job_EXHAUSTED {
		t.Errorf("state is %v, warnings (-want +got):\n%s", ended.GetState(), diff)
	}
}

// After maxExecutions the job is exhausted, until the limit is changed.
func TestMaxExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := hourly(t)
	j.MaxExecutions, j.OverlapPolicy = 2, carillonv1.Job_ALLOW
	id := b.create(b.instance().GetId(), j).GetId()
	want := func(state carillonv1.Job_State, next *timestamppb.Timestamp) {
		t.Helper()
		if got := b.get(id); got.GetState() != state || !proto.Equal(got.GetNextRun(), next) {
			t.Errorf("state is %v, next run %v; want %v, %v", got.GetState(), got.GetNextRun(), state, next)
		}
	}
	tick := func(at string) {
		b.clock.set(day(at).AsTime())
		b.tick()
	}
	tick("04 13:00:00.01")
	want(carillonv1.Job_ACTIVE, day("04 14:00:00"))
	// Runs by hand don't count.
	must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: id}))(t)
	tick("04 14:00:00.01")
	want(carillonv1.Job_EXHAUSTED, nil)
	tick("04 20:00:00")
	must(b.update(&carillonv1.Job{Id: id, CronExpression: wrapperspb.String("30 * * * *")}))(t)
	want(carillonv1.Job_EXHAUSTED, nil)
	must(b.update(&carillonv1.Job{Id: id, MaxExecutions: 1}))(t)
	want(carillonv1.Job_ACTIVE, day("04 20:30:00"))
	tick("04 20:30:00.01")
	want(carillonv1.Job_EXHAUSTED, nil)
	must(b.update(&carillonv1.Job{Id: id}, "max_executions"))(t)
	want(carillonv1.Job_ACTIVE, day("04 21:30:00"))
	// What was due while it was exhausted was not due.
	got := must(b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: id, To: day("04 22:00:00")}))(t)
	rows := []*carillonv1.Occurrence{row("04 13:00:00", started), row("04 14:00:00", started), row("04 20:30:00", started), row("04 21:30:00", pending)}
	if diff := cmp.Diff(rows, got.GetOccurrences(), protocmp.Transform(), protocmp.IgnoreFields(&carillonv1.Occurrence{}, "execution_id")); diff != "" {
		t.Errorf("occurrences (-want +got):\n%s", diff)
	}
}
