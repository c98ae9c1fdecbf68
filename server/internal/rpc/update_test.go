package rpc_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// full is a job in which nothing is a default.
func full(t testing.TB) *carillonv1.Job {
	return &carillonv1.Job{
		Name: "n", Description: "d", Workflow: document(t, noop),
		FrequencyType: carillonv1.Job_CRON_BASED, CronExpression: wrapperspb.String("0 * * * *"), TimeZone: proto.String("Asia/Kolkata"),
		Labels: map[string]string{"a": "b"}, OverlapPolicy: carillonv1.Job_ALLOW, CatchUpPolicy: carillonv1.Job_ALL,
		CatchUpWindow: durationpb.New(time.Hour), RetryPolicy: &carillonv1.RetryPolicy{RetryCount: 3, MinBackoff: durationpb.New(time.Minute)},
		DstGapPolicy: carillonv1.DaylightSaving_SKIP, DstOverlapPolicy: carillonv1.DaylightSaving_BOTH,
		StartTime: day("01 00:00:00"), EndTime: day("31 00:00:00"), Jitter: durationpb.New(time.Minute), ExcludedDates: []string{"2026-05-09"},
		MaxExecutions: 10, ExecutionTimeLimit: durationpb.New(time.Hour), PauseAfterFailures: 3, Priority: 5,
	}
}

func TestUpdateJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	interval := func(minutes int32) *carillonv1.Job {
		return &carillonv1.Job{FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(minutes)}
	}
	cleared := func(j *carillonv1.Job) {
		j.Name, j.Description, j.ManagedBy, j.Labels = "", "", "", nil
		j.OverlapPolicy, j.CatchUpPolicy, j.CatchUpWindow, j.RetryPolicy = carillonv1.Job_SKIP, carillonv1.Job_LATEST, durationpb.New(24*time.Hour), nil
		j.DstGapPolicy, j.DstOverlapPolicy = carillonv1.DaylightSaving_SHIFT_FORWARD, carillonv1.DaylightSaving_FIRST
		j.StartTime, j.EndTime, j.Jitter, j.ExcludedDates = nil, nil, durationpb.New(0), nil
		j.TimeZone, j.NextRun = proto.String("UTC"), day("04 13:00:00")
		j.MaxExecutions, j.ExecutionTimeLimit, j.PauseAfterFailures, j.Priority = 0, nil, 0, 0
	}
	tests := map[string]struct {
		change *carillonv1.Job
		mask   []string
		want   func(*carillonv1.Job) // nil for no change
	}{
		"nothing":               {&carillonv1.Job{}, nil, nil},
		"an equal name":         {&carillonv1.Job{Name: "n"}, nil, nil},
		"all equal":             {full(t), nil, nil},
		"all equal, all masked": {full(t), []string{"*"}, nil},
		"equal workflow":        {&carillonv1.Job{Workflow: document(t, `{"tasks":[{"type":"util.noop","name":"a"}]}`)}, nil, nil},
		"name":                  {&carillonv1.Job{Name: "m"}, nil, func(j *carillonv1.Job) { j.Name = "m" }},
		"no name":               {&carillonv1.Job{}, []string{"name"}, func(j *carillonv1.Job) { j.Name = "" }},
		"masked out":            {&carillonv1.Job{Name: "m", Description: "e"}, []string{"description"}, func(j *carillonv1.Job) { j.Description = "e" }},
		"workflow":              {&carillonv1.Job{Workflow: document(t, `{"name":"w","tasks":[{"name":"a","type":"util.noop"}]}`)}, nil, func(j *carillonv1.Job) { j.Workflow.Fields["name"] = document(t, `{"n":"w"}`).Fields["n"] }},
		"workflow in parts":     {&carillonv1.Job{Workflow: document(t, `{"name":"w","tasks":[{"name":"a","type":"util.noop"}]}`)}, []string{"workflow.name", "workflow.tasks"}, func(j *carillonv1.Job) { j.Workflow.Fields["name"] = document(t, `{"n":"w"}`).Fields["n"] }},
		"no workflow":           {&carillonv1.Job{}, []string{"workflow", "active", "frequency_type", "cron_expression", "interval_minutes"}, nil},
		"all masked":            {&carillonv1.Job{}, []string{"*"}, cleared},
		"each masked": {&carillonv1.Job{}, []string{"name", "description", "labels", "overlap_policy", "catch_up_policy", "catch_up_window", "retry_policy",
			"dst_gap_policy", "dst_overlap_policy", "start_time", "end_time", "jitter", "excluded_dates", "max_executions", "execution_time_limit", "pause_after_failures", "priority", "managed_by", "time_zone"}, cleared},
		"manager": {&carillonv1.Job{ManagedBy: "t"}, nil, func(j *carillonv1.Job) { j.ManagedBy = "t" }},
		"labels":  {&carillonv1.Job{Labels: map[string]string{"c": "d"}}, nil, func(j *carillonv1.Job) { j.Labels = map[string]string{"c": "d"} }},
		"policies": {&carillonv1.Job{OverlapPolicy: carillonv1.Job_BUFFER_ONE, CatchUpPolicy: carillonv1.Job_NONE, CatchUpWindow: durationpb.New(time.Minute)}, nil,
			func(j *carillonv1.Job) {
				j.OverlapPolicy, j.CatchUpPolicy, j.CatchUpWindow = carillonv1.Job_BUFFER_ONE, carillonv1.Job_NONE, durationpb.New(time.Minute)
			}},
		"retry policy": {&carillonv1.Job{RetryPolicy: &carillonv1.RetryPolicy{RetryCount: 1}}, nil, func(j *carillonv1.Job) {
			j.RetryPolicy.RetryCount, j.RetryPolicy.MinBackoff = 1, durationpb.New(5*time.Second)
		}},
		"part of retry policy": {&carillonv1.Job{RetryPolicy: &carillonv1.RetryPolicy{RetryCount: 1}}, []string{"retry_policy.retry_count"}, func(j *carillonv1.Job) { j.RetryPolicy.RetryCount = 1 }},
		"cron": {&carillonv1.Job{CronExpression: wrapperspb.String("30 4 * * *")}, nil, func(j *carillonv1.Job) {
			j.CronExpression, j.NextRun = wrapperspb.String("30 4 * * *"), day("04 23:00:00")
		}},
		"zone":    {&carillonv1.Job{TimeZone: proto.String("UTC")}, nil, func(j *carillonv1.Job) { j.TimeZone, j.NextRun = proto.String("UTC"), day("04 13:00:00") }},
		"no zone": {&carillonv1.Job{}, []string{"time_zone"}, func(j *carillonv1.Job) { j.TimeZone, j.NextRun = proto.String("UTC"), day("04 13:00:00") }},
		"type": {interval(90), nil, func(j *carillonv1.Job) {
			j.FrequencyType, j.CronExpression, j.IntervalMinutes, j.NextRun = carillonv1.Job_INTERVAL_BASED, nil, wrapperspb.Int32(90), day("04 13:32:30")
			j.DstGapPolicy, j.DstOverlapPolicy = 0, 0
		}},
		"by hand": {&carillonv1.Job{FrequencyType: carillonv1.Job_MANUAL}, nil, func(j *carillonv1.Job) {
			j.FrequencyType, j.CronExpression, j.NextRun = carillonv1.Job_MANUAL, nil, nil
			j.DstGapPolicy, j.DstOverlapPolicy = 0, 0
		}},
		"clock": {&carillonv1.Job{DstGapPolicy: carillonv1.DaylightSaving_SHIFT_FORWARD}, nil, func(j *carillonv1.Job) { j.DstGapPolicy = carillonv1.DaylightSaving_SHIFT_FORWARD }},
		"window": {&carillonv1.Job{StartTime: day("10 00:00:00"), EndTime: day("11 00:00:00")}, nil, func(j *carillonv1.Job) {
			j.StartTime, j.EndTime, j.NextRun = day("10 00:00:00"), day("11 00:00:00"), day("10 00:30:00")
		}},
		"end of the past": {&carillonv1.Job{EndTime: day("04 00:00:00")}, nil, func(j *carillonv1.Job) {
			j.EndTime, j.NextRun, j.State = day("04 00:00:00"), nil, carillonv1.Job_EXHAUSTED
		}},
		"jitter": {&carillonv1.Job{Jitter: durationpb.New(time.Hour)}, nil, func(j *carillonv1.Job) { j.Jitter = durationpb.New(time.Hour) }},
		"dates": {&carillonv1.Job{ExcludedDates: []string{"2026-05-03/2026-05-04", "2026-05-04"}}, nil, func(j *carillonv1.Job) {
			j.ExcludedDates, j.NextRun = []string{"2026-05-03/2026-05-04", "2026-05-04"}, day("04 18:30:00")
		}},
		"limits": {&carillonv1.Job{MaxExecutions: 1, ExecutionTimeLimit: durationpb.New(time.Second), PauseAfterFailures: 1, Priority: -1}, nil, func(j *carillonv1.Job) {
			j.MaxExecutions, j.ExecutionTimeLimit, j.PauseAfterFailures, j.Priority = 1, durationpb.New(time.Second), 1, -1
		}},
		"no limits, without a mask": {&carillonv1.Job{MaxExecutions: 0, PauseAfterFailures: 0, Priority: 0, ExcludedDates: []string{}}, nil, nil},
		"pause": {&carillonv1.Job{Active: proto.Bool(false)}, nil, func(j *carillonv1.Job) {
			j.Active, j.State, j.NextRun = proto.Bool(false), carillonv1.Job_PAUSED, nil
			j.Pause = &carillonv1.Pause{Actor: "operator", Since: day("04 12:02:30.5")}
		}},
		"active": {&carillonv1.Job{Active: proto.Bool(true)}, nil, nil},
		"echo": {&carillonv1.Job{Id: "ignored", InstanceId: in, Etag: `"1"`, State: carillonv1.Job_PAUSED, NextRun: day("01 00:00:00"), CreatedAt: day("01 00:00:00"), Name: "m"}, nil,
			func(j *carillonv1.Job) { j.Name = "m" }},
		"checked fields in the mask": {&carillonv1.Job{Name: "m"}, []string{"id", "instance_id", "etag", "name"}, func(j *carillonv1.Job) { j.Name = "m" }},
	}
	start := b.clock.Now()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b.clock.set(start)
			before := b.create(in, full(t))
			b.clock.set(start.Add(2 * time.Minute))
			want := proto.CloneOf(before)
			if test.want != nil {
				test.want(want)
				want.Etag, want.UpdatedAt = `"2"`, day("04 12:02:30.5")
			}
			change := proto.CloneOf(test.change)
			change.Id = before.GetId()
			ignore := protocmp.IgnoreFields(&carillonv1.Job{}, "warnings")

			ask := &carillonv1.UpdateJobRequest{Job: change, UpdateMask: maskOf(test.mask...), ValidateOnly: true}
			wouldBe := must(b.jobs.UpdateJob(b.operator, ask))(t)
			if diff := cmp.Diff(want, wouldBe, protocmp.Transform(), ignore, protocmp.IgnoreFields(&carillonv1.Job{}, "etag", "updated_at")); diff != "" {
				t.Errorf("what would be (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, b.get(before.GetId()), protocmp.Transform()); diff != "" {
				t.Errorf("checking has changed the job (-before +after):\n%s", diff)
			}
			got := must(b.update(change, test.mask...))(t)
			if diff := cmp.Diff(want, got, protocmp.Transform(), ignore); diff != "" {
				t.Errorf("job (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, b.get(before.GetId()), protocmp.Transform()); diff != "" {
				t.Errorf("job read again (-answered +read):\n%s", diff)
			}
		})
	}
}

func TestUpdateJobRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	byCron := b.create(in, full(t))
	interval := hourly(t)
	schedule(carillonv1.Job_INTERVAL_BASED, "", 5)(interval)
	byInterval := b.create(in, interval)
	byHand := hourly(t)
	schedule(carillonv1.Job_MANUAL, "", none)(byHand)
	manual := b.create(in, byHand)
	typ := func(k carillonv1.Job_FrequencyType, cron string, minutes int32) *carillonv1.Job {
		j := &carillonv1.Job{}
		schedule(k, cron, minutes)(j)
		return j
	}
	const same = carillonv1.Job_FREQUENCY_TYPE_UNSPECIFIED
	tests := map[string]struct {
		job    *carillonv1.Job
		change *carillonv1.Job
		mask   []string
		want   []string
	}{
		"interval of a cron job":           {byCron, typ(same, "", 5), nil, []string{"intervalMinutes NOT_FOR_FREQUENCY_TYPE"}},
		"cron of an interval job":          {byInterval, typ(same, "* * * * *", none), nil, []string{"cronExpression NOT_FOR_FREQUENCY_TYPE"}},
		"cron of a job by hand":            {manual, typ(same, "* * * * *", none), nil, []string{"cronExpression NOT_FOR_FREQUENCY_TYPE"}},
		"type without its parameter":       {byCron, typ(carillonv1.Job_INTERVAL_BASED, "", none), nil, []string{"intervalMinutes REQUIRED"}},
		"type without its parameter, cron": {byInterval, typ(carillonv1.Job_CRON_BASED, "", none), nil, []string{"cronExpression REQUIRED"}},
		"type with both":                   {byCron, typ(carillonv1.Job_INTERVAL_BASED, "* * * * *", 5), nil, []string{"cronExpression NOT_FOR_FREQUENCY_TYPE"}},
		"by hand with cron":                {byCron, typ(carillonv1.Job_MANUAL, "* * * * *", none), nil, []string{"cronExpression NOT_FOR_FREQUENCY_TYPE"}},
		"bad cron":                         {byCron, typ(same, "* * *", none), nil, []string{"cronExpression CRON_FIELD_COUNT"}},
		"empty zone":                       {byCron, &carillonv1.Job{TimeZone: proto.String("")}, nil, []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"empty workflow":                   {byCron, &carillonv1.Job{Workflow: document(t, `{}`)}, nil, []string{"workflow.tasks REQUIRED"}},
		"another instance inside":          {byCron, &carillonv1.Job{Workflow: document(t, `{"instanceId":"`+other+`","tasks":[{"name":"a","type":"util.noop"}]}`)}, nil, []string{"workflow.instanceId INSTANCE_MISMATCH"}},
		"unknown in the mask":              {byCron, &carillonv1.Job{}, []string{"title"}, []string{"updateMask UNKNOWN_FIELD"}},
		"empty path":                       {byCron, &carillonv1.Job{}, []string{""}, []string{"updateMask UNKNOWN_FIELD"}},
		"inside of text":                   {byCron, &carillonv1.Job{}, []string{"name.x"}, []string{"updateMask UNKNOWN_FIELD"}},
		"inside of the retry policy":       {byCron, &carillonv1.Job{}, []string{"retry_policy.x"}, []string{"updateMask UNKNOWN_FIELD"}},
		"output only":                      {byCron, &carillonv1.Job{}, []string{"next_run", "state", "warnings"}, []string{"updateMask OUTPUT_ONLY", "updateMask OUTPUT_ONLY", "updateMask OUTPUT_ONLY"}},
		"backoff order":                    {byCron, &carillonv1.Job{RetryPolicy: &carillonv1.RetryPolicy{MaxBackoff: durationpb.New(time.Second)}}, []string{"retry_policy.max_backoff"}, []string{"retryPolicy.maxBackoff BACKOFF_ORDER"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			change := proto.CloneOf(test.change)
			change.Id = test.job.GetId()
			_, err := b.update(change, test.mask...)
			if diff := cmp.Diff(test.want, violations(err)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
	for _, j := range []*carillonv1.Job{byCron, byInterval, manual} {
		if diff := cmp.Diff(j, b.get(j.GetId()), protocmp.Transform()); diff != "" {
			t.Errorf("a refused change has changed the job (-before +after):\n%s", diff)
		}
	}
	for name, id := range map[string]string{"another instance": other, "no instance": "res_1", "missing": "inst_999"} {
		_, err := b.update(&carillonv1.Job{Id: byCron.GetId(), InstanceId: id, Name: "m"})
		t.Run(name, func(t *testing.T) { wantCode(t, err, codes.NotFound, "INSTANCE_NOT_FOUND") })
	}
}

func TestETags(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	for name, call := range map[string]func(etag string) error{
		"update": func(etag string) error {
			_, err := b.update(&carillonv1.Job{Id: j.GetId(), Etag: etag, Name: etag})
			return err
		},
		"pause": func(etag string) error {
			_, err := b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: j.GetId(), Etag: etag})
			return err
		},
		"resume": func(etag string) error {
			_, err := b.jobs.ResumeJob(b.operator, &carillonv1.ResumeJobRequest{JobId: j.GetId(), Etag: etag})
			return err
		},
		"equal update": func(etag string) error {
			_, err := b.update(&carillonv1.Job{Id: j.GetId(), Etag: etag, Name: "hourly"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, call(`"999"`), codes.Aborted, "ETAG_MISMATCH")
			if err := call(b.get(j.GetId()).GetEtag()); err != nil {
				t.Errorf("the present etag: %v", err)
			}
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	pause := func() *carillonv1.Job {
		return must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: j.GetId()}))(t)
	}
	resume := func() *carillonv1.Job {
		return must(b.jobs.ResumeJob(b.operator, &carillonv1.ResumeJobRequest{JobId: j.GetId()}))(t)
	}
	if got := resume(); got.GetEtag() != `"1"` {
		t.Errorf("resuming an active job made %v", got)
	}
	paused := pause()
	if paused.GetState() != carillonv1.Job_PAUSED || paused.GetNextRun() != nil || paused.GetActive() || paused.GetEtag() != `"2"` {
		t.Errorf("the paused job is %v", paused)
	}
	b.clock.set(b.clock.Now().Add(3 * time.Hour))
	if diff := cmp.Diff(paused, pause(), protocmp.Transform()); diff != "" {
		t.Errorf("pausing again has changed the job:\n%s", diff)
	}
	resumed := resume()
	if resumed.GetState() != carillonv1.Job_ACTIVE || !proto.Equal(resumed.GetNextRun(), day("04 16:00:00")) || resumed.GetEtag() != `"3"` {
		t.Errorf("the resumed job is %v", resumed)
	}
}

// Changes that are made at the same time all happen, one after the other.
func TestConcurrentUpdates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	changes := []*carillonv1.Job{
		{Name: "m"}, {Description: "e"}, {Labels: map[string]string{"a": "b"}}, {TimeZone: proto.String("Asia/Tokyo")}, {OverlapPolicy: carillonv1.Job_ALLOW},
	}
	var wait sync.WaitGroup
	for _, change := range changes {
		change.Id = j.GetId()
		wait.Go(func() {
			if _, err := b.update(change); err != nil {
				t.Errorf("update: %v", err)
			}
		})
	}
	wait.Wait()
	got := b.get(j.GetId())
	if got.GetName() != "m" || got.GetDescription() != "e" || got.GetLabels()["a"] != "b" || got.GetTimeZone() != "Asia/Tokyo" ||
		got.GetOverlapPolicy() != carillonv1.Job_ALLOW || got.GetEtag() != `"6"` {
		t.Errorf("job is %v", got)
	}
}
