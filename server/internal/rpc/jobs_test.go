package rpc_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func maskOf(paths ...string) *fieldmaskpb.FieldMask {
	if len(paths) == 0 {
		return nil
	}
	return &fieldmaskpb.FieldMask{Paths: paths}
}

func day(text string) *timestamppb.Timestamp {
	parsed, err := time.Parse("2006-01-02 15:04:05.999999", "2026-05-"+text)
	if err != nil {
		panic(err)
	}
	return timestamppb.New(parsed)
}

func TestCreateJobWithDefaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance()
	got := b.create(in.GetId(), hourly(t))
	want := &carillonv1.Job{
		Id: got.GetId(), InstanceId: in.GetId(), Name: "hourly", Active: proto.Bool(true), State: carillonv1.Job_ACTIVE,
		Workflow: document(t, noop), FrequencyType: carillonv1.Job_CRON_BASED, CronExpression: wrapperspb.String("0 * * * *"),
		TimeZone: proto.String("UTC"), OverlapPolicy: carillonv1.Job_SKIP, CatchUpPolicy: carillonv1.Job_LATEST,
		CatchUpWindow: durationpb.New(24 * time.Hour), NextRun: day("04 13:00:00"),
		DstGapPolicy: carillonv1.DaylightSaving_SHIFT_FORWARD, DstOverlapPolicy: carillonv1.DaylightSaving_FIRST, Jitter: durationpb.New(0),
		CreatedAt: day("04 12:00:30.5"), UpdatedAt: day("04 12:00:30.5"), Etag: `"1"`,
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(got.GetId(), "job_") {
		t.Errorf("id is %q", got.GetId())
	}
	if diff := cmp.Diff(want, b.get(got.GetId()), protocmp.Transform()); diff != "" {
		t.Errorf("job read again (-want +got):\n%s", diff)
	}
}

// Everything that can be said of a job comes back as it was said.
func TestCreateJobInFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance()
	res := b.resource(in.GetId())
	workflow := document(t, `{"name":"w","instanceId":"`+in.GetId()+`","tasks":[
		{"name":"a","type":"test.touch","args":{"resourceId":`+strings.TrimPrefix(res.GetId(), "res_")+`}},
		{"name":"b","type":"util.noop","inputs":"a"},{"name":"c","type":"util.sleep","args":{"duration":"1<2s"},"inputs":[]}]}`)
	workflow.GetFields()["tasks"].GetListValue().GetValues()[2].GetStructValue().GetFields()["args"] = structpb.NewStructValue(document(t, `{"duration":1.5}`))
	asked := &carillonv1.Job{
		InstanceId: strings.TrimPrefix(in.GetId(), "inst_"), Name: "näme", Description: "a\nb", Active: proto.Bool(false), Workflow: workflow,
		FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(525600), TimeZone: proto.String("Europe/Helsinki"),
		Labels: map[string]string{"team": "maps", "empty": ""}, OverlapPolicy: carillonv1.Job_BUFFER_ALL, CatchUpPolicy: carillonv1.Job_NONE,
		CatchUpWindow: durationpb.New(10 * time.Second),
		RetryPolicy: &carillonv1.RetryPolicy{RetryCount: 3, MinBackoff: durationpb.New(time.Second), MaxBackoff: durationpb.New(time.Minute),
			MaxDoublings: proto.Int32(0), MaxRetryDuration: durationpb.New(time.Hour)},
		StartTime: day("05 01:02:03.000004"), EndTime: day("30 00:00:00"), Jitter: durationpb.New(24 * time.Hour),
		ExcludedDates: []string{"2026-12-24", "2026-12-31/2027-01-06"}, MaxExecutions: 1_000_000_000,
		ExecutionTimeLimit: durationpb.New(30 * 24 * time.Hour), PauseAfterFailures: 1000, Priority: -100,
	}
	got := b.create(in.GetId(), asked)
	want := proto.CloneOf(asked)
	want.Id, want.InstanceId, want.State, want.Etag = got.GetId(), in.GetId(), carillonv1.Job_PAUSED, `"1"`
	want.CreatedAt, want.UpdatedAt = day("04 12:00:30.5"), day("04 12:00:30.5")
	want.Pause = &carillonv1.Pause{Actor: "operator", Since: day("04 12:00:30.5")}
	want.Warnings = []*carillonv1.Warning{{Code: "NO_MORE_SLOTS"}} // it ends before the first year is over
	if diff := cmp.Diff(want, b.get(got.GetId()), protocmp.Transform(), protocmp.IgnoreFields(&carillonv1.Warning{}, "message")); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	// A retry policy of which little is said gets the documented defaults.
	short := hourly(t)
	short.RetryPolicy = &carillonv1.RetryPolicy{RetryCount: 1}
	wantRetry := &carillonv1.RetryPolicy{RetryCount: 1, MinBackoff: durationpb.New(5 * time.Second), MaxBackoff: durationpb.New(time.Hour), MaxDoublings: proto.Int32(5)}
	if diff := cmp.Diff(wantRetry, b.create(in.GetId(), short).GetRetryPolicy(), protocmp.Transform()); diff != "" {
		t.Errorf("retry policy (-want +got):\n%s", diff)
	}
}

// change makes a variant of the valid job.
type change = func(*carillonv1.Job)

func schedule(kind carillonv1.Job_FrequencyType, cron string, minutes int32) change {
	return func(j *carillonv1.Job) {
		j.FrequencyType, j.CronExpression, j.IntervalMinutes = kind, nil, nil
		if cron != "" {
			j.CronExpression = wrapperspb.String(cron)
		}
		if minutes != math.MinInt32 {
			j.IntervalMinutes = wrapperspb.Int32(minutes)
		}
	}
}

const none = math.MinInt32

func TestCreateJobRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance(), b.instance()
	foreign := b.resource(other.GetId())
	flow := func(text string) change {
		return func(j *carillonv1.Job) { j.Workflow = document(t, text) }
	}
	touching := func(id string) change {
		return flow(`{"tasks":[{"name":"n","type":"util.noop"},{"name":"a","type":"test.touch","args":{"resourceId":` + id + `}}]}`)
	}
	zone := func(name string) change { return func(j *carillonv1.Job) { j.TimeZone = &name } }
	tests := map[string]struct {
		changes []change
		want    []string
	}{
		"no type":                      {[]change{schedule(carillonv1.Job_FREQUENCY_TYPE_UNSPECIFIED, "* * * * *", none)}, []string{"frequencyType REQUIRED"}},
		"no cron":                      {[]change{schedule(carillonv1.Job_CRON_BASED, "", none)}, []string{"cronExpression REQUIRED"}},
		"empty cron":                   {[]change{func(j *carillonv1.Job) { j.CronExpression = wrapperspb.String("") }}, []string{"cronExpression CRON_FIELD_COUNT"}},
		"bad cron":                     {[]change{schedule(carillonv1.Job_CRON_BASED, "99 * * * *", none)}, []string{"cronExpression CRON_VALUE_RANGE"}},
		"both":                         {[]change{schedule(carillonv1.Job_CRON_BASED, "* * * * *", 5)}, []string{"intervalMinutes NOT_FOR_FREQUENCY_TYPE"}},
		"both, by interval":            {[]change{schedule(carillonv1.Job_INTERVAL_BASED, "* * * * *", 5)}, []string{"cronExpression NOT_FOR_FREQUENCY_TYPE"}},
		"the other one":                {[]change{schedule(carillonv1.Job_CRON_BASED, "", 5)}, []string{"cronExpression REQUIRED", "intervalMinutes NOT_FOR_FREQUENCY_TYPE"}},
		"no interval":                  {[]change{schedule(carillonv1.Job_INTERVAL_BASED, "", none)}, []string{"intervalMinutes REQUIRED"}},
		"interval 0":                   {[]change{schedule(carillonv1.Job_INTERVAL_BASED, "", 0)}, []string{"intervalMinutes INTERVAL_RANGE"}},
		"interval -1":                  {[]change{schedule(carillonv1.Job_INTERVAL_BASED, "", -1)}, []string{"intervalMinutes INTERVAL_RANGE"}},
		"interval too long":            {[]change{schedule(carillonv1.Job_INTERVAL_BASED, "", 525601)}, []string{"intervalMinutes INTERVAL_RANGE"}},
		"by hand with cron":            {[]change{schedule(carillonv1.Job_MANUAL, "* * * * *", none)}, []string{"cronExpression NOT_FOR_FREQUENCY_TYPE"}},
		"by hand with both":            {[]change{schedule(carillonv1.Job_MANUAL, "* * * * *", 5)}, []string{"cronExpression NOT_FOR_FREQUENCY_TYPE", "intervalMinutes NOT_FOR_FREQUENCY_TYPE"}},
		"empty zone":                   {[]change{zone("")}, []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone Local":                   {[]change{zone("Local")}, []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"offset as zone":               {[]change{zone("+02:00")}, []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone of a job by hand":        {[]change{schedule(carillonv1.Job_MANUAL, "", none), zone("Nowhere/At_All")}, []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"cron and zone":                {[]change{schedule(carillonv1.Job_CRON_BASED, "* *", none), zone("x")}, []string{"cronExpression CRON_FIELD_COUNT", "timeZone UNKNOWN_TIME_ZONE"}},
		"missing parameter and zone":   {[]change{schedule(carillonv1.Job_CRON_BASED, "", none), zone("x")}, []string{"cronExpression REQUIRED", "timeZone UNKNOWN_TIME_ZONE"}},
		"no workflow":                  {[]change{func(j *carillonv1.Job) { j.Workflow = nil }}, []string{"workflow REQUIRED"}},
		"unknown task type":            {[]change{flow(`{"tasks":[{"name":"a","type":"util.noop"},{"name":"b","type":"gdal.warp"}]}`)}, []string{"workflow.tasks[1].type UNKNOWN_TASK_TYPE"}},
		"task arguments":               {[]change{flow(`{"tasks":[{"name":"a","type":"util.noop","args":{"x":1}}]}`)}, []string{"workflow.tasks[0].args.x UNKNOWN_FIELD"}},
		"cycle":                        {[]change{flow(`{"tasks":[{"name":"a","type":"util.noop","inputs":"b"},{"name":"b","type":"util.noop","inputs":["a"]}]}`)}, []string{"workflow.tasks[0].inputs CYCLE"}},
		"large integer":                {[]change{flow(`{"tasks":[{"name":"a","type":"test.touch","args":{"resourceId":9007199254740992}}]}`)}, []string{"workflow.tasks[0].args.resourceId NUMBER_RANGE"}},
		"NUL":                          {[]change{flow(`{"name":"\u0000","tasks":[{"name":"a","type":"util.noop"}]}`)}, []string{"workflow.name INVALID_TEXT"}},
		"another instance inside":      {[]change{flow(`{"instanceId":"` + other.GetId() + `","tasks":[{"name":"a","type":"util.noop"}]}`)}, []string{"workflow.instanceId INSTANCE_MISMATCH"}},
		"a resource as instance":       {[]change{flow(`{"instanceId":"res_1","tasks":[{"name":"a","type":"util.noop"}]}`)}, []string{"workflow.instanceId INSTANCE_MISMATCH"}},
		"another instance":             {[]change{func(j *carillonv1.Job) { j.InstanceId = other.GetId() }}, []string{"instanceId INSTANCE_MISMATCH"}},
		"foreign resource":             {[]change{touching(`"` + foreign.GetId() + `"`)}, []string{"workflow.tasks[1].args.resourceId RESOURCE_NOT_FOUND"}},
		"missing resource":             {[]change{touching(`"res_9999"`)}, []string{"workflow.tasks[1].args.resourceId RESOURCE_NOT_FOUND"}},
		"resource with another prefix": {[]change{touching(`"job_1"`)}, []string{"workflow.tasks[1].args.resourceId RESOURCE_NOT_FOUND"}},
		"backoff order": {[]change{func(j *carillonv1.Job) {
			j.RetryPolicy = &carillonv1.RetryPolicy{MinBackoff: durationpb.New(time.Minute), MaxBackoff: durationpb.New(time.Second)}
		}}, []string{"retryPolicy.maxBackoff BACKOFF_ORDER"}},
		"everything at once": {[]change{schedule(carillonv1.Job_INTERVAL_BASED, "", 0), zone("x"), touching("1e3"), func(j *carillonv1.Job) { j.InstanceId = "job_1" }},
			[]string{"instanceId INSTANCE_MISMATCH", "intervalMinutes INTERVAL_RANGE", "timeZone UNKNOWN_TIME_ZONE", "workflow.tasks[1].args.resourceId RESOURCE_NOT_FOUND"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			j := hourly(t)
			for _, do := range test.changes {
				do(j)
			}
			for _, validateOnly := range []bool{true, false} {
				_, err := b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in.GetId(), Job: j, ValidateOnly: validateOnly})
				wantCode(t, err, codes.InvalidArgument, "")
				if diff := cmp.Diff(test.want, violations(err)); diff != "" {
					t.Errorf("violations (-want +got):\n%s", diff)
				}
			}
		})
	}
	t.Run("nothing was stored", func(t *testing.T) {
		got := must(b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in.GetId()}))(t)
		if len(got.GetJobs()) != 0 {
			t.Errorf("%d jobs are there", len(got.GetJobs()))
		}
	})
}

// NaN and Inf can't come in JSON but in a Struct.
func TestNumbersThatAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance()
	for _, number := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1 << 60} {
		j := hourly(t)
		args := structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"duration": structpb.NewNumberValue(number)}})
		j.GetWorkflow().GetFields()["tasks"].GetListValue().GetValues()[0].GetStructValue().GetFields()["args"] = args
		_, err := b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in.GetId(), Job: j})
		if diff := cmp.Diff([]string{"workflow.tasks[0].args.duration NUMBER_RANGE"}, violations(err)); diff != "" {
			t.Errorf("%v: violations (-want +got):\n%s", number, diff)
		}
	}
}

func TestCreateJobValidateOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance()
	got := must(b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in.GetId(), Job: hourly(t), ValidateOnly: true}))(t)
	if got.GetId() != "" || got.GetEtag() != "" || !proto.Equal(got.GetNextRun(), day("04 13:00:00")) || got.GetTimeZone() != "UTC" {
		t.Errorf("answer is %v", got)
	}
	if list := must(b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in.GetId()}))(t); len(list.GetJobs()) != 0 {
		t.Errorf("a job was stored: %v", list)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance(), b.instance()
	ask := func(instance, name, id string) (*carillonv1.Job, error) {
		j := hourly(t)
		j.Name = name
		return b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: instance, Job: j, RequestId: id})
	}
	first := must(ask(in.GetId(), "n", "r-1"))(t)
	if again := must(ask(in.GetId(), "n", "r-1"))(t); again.GetId() != first.GetId() {
		t.Errorf("a repeat made %s, the first was %s", again.GetId(), first.GetId())
	}
	_, err := ask(in.GetId(), "other", "r-1")
	wantCode(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
	for _, distinct := range [][2]string{{in.GetId(), "r-2"}, {other.GetId(), "r-1"}, {in.GetId(), ""}} {
		if made := must(ask(distinct[0], "n", distinct[1]))(t); made.GetId() == first.GetId() {
			t.Errorf("request %q answered the job of another one", distinct)
		}
	}
	run := must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: first.GetId(), RequestId: "r-1"}))(t)
	again := must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: first.GetId(), RequestId: "r-1"}))(t)
	if run.GetId() != again.GetId() {
		t.Errorf("a repeat ran %s, the first was %s", again.GetId(), run.GetId())
	}
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance(), b.instance()
	var want []string
	for i := range 5 {
		j := hourly(t)
		j.Name = fmt.Sprint(i)
		want = append([]string{b.create(in.GetId(), j).GetId()}, want...)
		b.create(other.GetId(), j)
	}
	var got []string
	token := ""
	for pages := 1; ; pages++ {
		page := must(b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in.GetId(), PageSize: 2, PageToken: token}))(t)
		for _, j := range page.GetJobs() {
			got = append(got, j.GetId())
		}
		if token = page.GetNextPageToken(); token == "" {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	// A token is for its list only.
	token = must(b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in.GetId(), PageSize: 1}))(t).GetNextPageToken()
	for name, call := range map[string]func() error{
		"another instance": func() error {
			_, err := b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: other.GetId(), PageToken: token})
			return err
		},
		"another method": func() error {
			_, err := b.instances.ListResources(b.operator, &carillonv1.ListResourcesRequest{InstanceId: in.GetId(), PageToken: token})
			return err
		},
		"changed": func() error {
			_, err := b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in.GetId(), PageToken: token[:len(token)-2] + "AA"})
			return err
		},
		"nonsense": func() error {
			_, err := b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in.GetId(), PageToken: "!"})
			return err
		},
	} {
		err := call()
		if diff := cmp.Diff([]string{"pageToken INVALID_PAGE_TOKEN"}, violations(err)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", name, diff)
		}
	}
	// The bare number names the same list.
	page := must(b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: strings.TrimPrefix(in.GetId(), "inst_"), PageToken: token, PageSize: 2000}))(t)
	if len(page.GetJobs()) != 4 || page.GetNextPageToken() != "" {
		t.Errorf("%d jobs follow the first, token %q", len(page.GetJobs()), page.GetNextPageToken())
	}
}

// A page of long workflows is cut so that a client with gRPC's own limit can
// read it.
func TestListOfLongJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	long := hourly(t)
	long.Workflow = document(t, `{"name":"`+strings.Repeat("x", 900_000)+`","tasks":[{"name":"a","type":"util.noop"}]}`)
	for range 7 {
		b.create(in, long)
	}
	seen := map[string]bool{}
	ask := &carillonv1.ListJobsRequest{InstanceId: in}
	for pages := 1; ; pages++ {
		page := must(b.jobs.ListJobs(b.operator, ask))(t)
		for _, j := range page.GetJobs() {
			seen[j.GetId()] = true
		}
		if ask.PageToken = page.GetNextPageToken(); ask.PageToken == "" {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d jobs, want 7", len(seen))
	}
}
