package tests

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
)

// refusals is what a job can be refused for: the same verdict on every door.
// The fields are laid over those of a sound job, nil takes one away, and the
// words RESOURCE and FOREIGN stand for the instance's resource and another's.
// All are INVALID_ARGUMENT with the first violation's reason.
var refusals = []struct {
	name string
	job  object
	want string
}{
	{"cron out of range", cron("61 * * * *"), "cronExpression=CRON_VALUE_RANGE"},
	{"cron with four fields", cron("* * * *"), "cronExpression=CRON_FIELD_COUNT"},
	{"cron that never fires", cron("0 0 30 2 *"), "cronExpression=CRON_NEVER_FIRES"},
	{"cron of another dialect", cron("0 0 L * *"), "cronExpression=CRON_UNSUPPORTED"},
	{"cron with a zone", cron("TZ=UTC 0 0 * * *"), "cronExpression=CRON_UNSUPPORTED"},
	{"cron every", cron("@every 5m"), "cronExpression=CRON_UNSUPPORTED"},
	{"cron too long", cron(strings.Repeat("1,", 130) + "1 * * * *"), "cronExpression=CRON_TOO_LONG"},
	{"cron empty", cron(""), "cronExpression=CRON_FIELD_COUNT"},
	{"zone unknown", object{"timeZone": "Mars/Olympus"}, "timeZone=UNKNOWN_TIME_ZONE"},
	{"zone local", object{"timeZone": "Local"}, "timeZone=UNKNOWN_TIME_ZONE"},
	{"zone offset", object{"timeZone": "+02:00"}, "timeZone=UNKNOWN_TIME_ZONE"},
	{"zone empty", object{"timeZone": ""}, "timeZone=UNKNOWN_TIME_ZONE"},
	{"interval zero", interval(0), "intervalMinutes=INTERVAL_RANGE"},
	{"interval negative", interval(-1), "intervalMinutes=INTERVAL_RANGE"},
	{"interval too long", interval(525601), "intervalMinutes=INTERVAL_RANGE"},
	{"cron and interval", object{"frequencyType": "CRON_BASED", "cronExpression": "* * * * *", "intervalMinutes": 5}, "intervalMinutes=NOT_FOR_FREQUENCY_TYPE"},
	{"interval and cron", object{"frequencyType": "INTERVAL_BASED", "cronExpression": "* * * * *", "intervalMinutes": 5}, "cronExpression=NOT_FOR_FREQUENCY_TYPE"},
	{"manual and cron", object{"cronExpression": "* * * * *"}, "cronExpression=NOT_FOR_FREQUENCY_TYPE"},
	{"cron missing", object{"frequencyType": "CRON_BASED"}, "cronExpression=REQUIRED"},
	{"interval missing", object{"frequencyType": "INTERVAL_BASED"}, "intervalMinutes=REQUIRED"},
	{"type missing", object{"frequencyType": nil}, "frequencyType=REQUIRED"},
	{"workflow missing", object{"workflow": nil}, "workflow=REQUIRED"},
	{"no tasks", flow(), "workflow.tasks=REQUIRED"},
	{"tasks no list", object{"workflow": object{"tasks": object{}}}, "workflow.tasks=WRONG_TYPE"},
	{"task no object", flow("a"), "workflow.tasks[0]=WRONG_TYPE"},
	{"name missing", flow(object{"type": "util.noop"}), "workflow.tasks[0].name=REQUIRED"},
	{"type of task missing", flow(object{"name": "a"}), "workflow.tasks[0].type=REQUIRED"},
	{"type of task unknown", flow(object{"name": "a", "type": "shell.exec"}), "workflow.tasks[0].type=UNKNOWN_TASK_TYPE"},
	{"type of task not offered", flow(object{"name": "a", "type": "pdal.tile"}), "workflow.tasks[0].type=UNKNOWN_TASK_TYPE"},
	{"names doubled", flow(harness.Noop("a"), harness.Noop("a")), "workflow.tasks[1].name=DUPLICATE_TASK_NAME"},
	{"input unknown", flow(after("a", "b")), "workflow.tasks[0].inputs=UNKNOWN_INPUT"},
	{"input unknown in a list", flow(harness.Noop("a"), after("b", []any{"a", "c"})), "workflow.tasks[1].inputs[1]=UNKNOWN_INPUT"},
	{"input a number", flow(after("a", 1)), "workflow.tasks[0].inputs=WRONG_TYPE"},
	{"input an object", flow(after("a", object{"b": 1})), "workflow.tasks[0].inputs=WRONG_TYPE"},
	{"input a list of numbers", flow(after("a", []any{1})), "workflow.tasks[0].inputs[0]=WRONG_TYPE"},
	{"input itself", flow(after("a", "a")), "workflow.tasks[0].inputs=CYCLE"},
	{"cycle", flow(after("a", "c"), after("b", []any{"a"}), after("c", "b")), "workflow.tasks[0].inputs=CYCLE"},
	{"key of a task unknown", flow(object{"name": "a", "type": "util.noop", "input": "b"}), "workflow.tasks[0].input=UNKNOWN_FIELD"},
	{"key of the workflow unknown", object{"workflow": object{"tasks": []any{harness.Noop("a")}, "steps": 1}}, "workflow.steps=UNKNOWN_FIELD"},
	{"argument unknown", flow(object{"name": "a", "type": "util.sleep", "args": object{"duration": "1s", "x": 1}}), "workflow.tasks[0].args.x=UNKNOWN_FIELD"},
	{"argument missing", flow(object{"name": "a", "type": "util.sleep"}), "workflow.tasks[0].args.duration=REQUIRED"},
	{"arguments no object", flow(object{"name": "a", "type": "util.sleep", "args": "1s"}), "workflow.tasks[0].args=WRONG_TYPE"},
	{"url no url", flow(object{"name": "a", "type": "http.request", "args": object{"url": "file:///etc/passwd"}}), "workflow.tasks[0].args.url=INVALID_VALUE"},
	{"inner instance differs", object{"workflow": object{"instanceId": "inst_999", "tasks": []any{harness.Noop("a")}}}, "workflow.instanceId=INSTANCE_MISMATCH"},
	{"resource unknown", syncing("res_999", "a:/x", "b:/y"), "workflow.tasks[0].args.resourceId=RESOURCE_NOT_FOUND"},
	{"resource of another instance", syncing("FOREIGN", "a:/x", "b:/y"), "workflow.tasks[0].args.resourceId=RESOURCE_NOT_FOUND"},
	{"resource of another instance, older spelling", flow(object{"name": "a", "type": "rclone.sync", "args": object{"id": "FOREIGN", "remotes": []any{"a:/x", "b:/y"}}}), "workflow.tasks[0].args.id=RESOURCE_NOT_FOUND"},
	{"resource of another instance as input", flow(object{"name": "a", "type": "resource.input", "args": object{"id": "FOREIGN"}}), "workflow.tasks[0].args.id=RESOURCE_NOT_FOUND"},
	{"resource of another kind", syncing("job_1", "a:/x", "b:/y"), "workflow.tasks[0].args.resourceId=RESOURCE_NOT_FOUND"},
	{"remote without a name", syncing("", "/x", "b:/y"), "workflow.tasks[0].args.remotes[0]=INVALID_REMOTE"},
	{"remote without a colon", syncing("", "a", "b:/y"), "workflow.tasks[0].args.remotes[0]=INVALID_REMOTE"},
	{"remote as a connection string", syncing("", ":sftp,host=h:/x", "b:/y"), "workflow.tasks[0].args.remotes[0]=INVALID_REMOTE"},
	{"one remote", syncing("", "a:/x"), "workflow.tasks[0].args.remotes=TOO_FEW_REMOTES"},
	{"mode not offered", flow(object{"name": "a", "type": "sync.files", "args": object{"resourceId": "RESOURCE", "remotes": []any{"a:/x", "b:/y"}, "mode": "move"}}), "workflow.tasks[0].args.mode=INVALID_VALUE"},
	{"too many tasks", flow(many(101)...), "workflow.tasks=TOO_MANY_TASKS"},
	{"too deep", flow(object{"name": "a", "type": "util.noop", "args": deep(101)}), "workflow.tasks[0].args" + strings.Repeat(".d", 97) + "=TOO_DEEP"},
	{"number too large", flow(object{"name": "a", "type": "util.noop", "args": object{"n": 9007199254740993}}), "workflow.tasks[0].args.n=NUMBER_RANGE"},
	{"text with NUL", flow(harness.Noop("a\x00")), "workflow.tasks[0].name=INVALID_TEXT"},
	{"text of the job with NUL", object{"name": "a\x00"}, "name=INVALID_TEXT"},
	{"name of the job too long", object{"name": strings.Repeat("x", 201)}, "name=STRING_MAX_LEN"},
	{"description too long", object{"description": strings.Repeat("x", 2001)}, "description=STRING_MAX_LEN"},
	{"label too long", object{"labels": object{"k": strings.Repeat("x", 64)}}, "labels.k=STRING_MAX_LEN"},
	{"window too short", object{"catchUpWindow": "9s"}, "catchUpWindow=DURATION_GTE_LTE"},
	{"too many retries", object{"retryPolicy": object{"retryCount": 21}}, "retryPolicy.retryCount=INT32_GTE_LTE"},
	{"two faults", object{"timeZone": "Local", "frequencyType": "INTERVAL_BASED", "intervalMinutes": 0}, "intervalMinutes=INTERVAL_RANGE timeZone=UNKNOWN_TIME_ZONE"},
}

func cron(text string) object  { return object{"frequencyType": "CRON_BASED", "cronExpression": text} }
func interval(n int) object    { return object{"frequencyType": "INTERVAL_BASED", "intervalMinutes": n} }
func flow(tasks ...any) object { return object{"workflow": object{"tasks": append([]any{}, tasks...)}} }
func after(name string, inputs any) object {
	return object{"name": name, "type": "util.noop", "inputs": inputs}
}

// syncing is a workflow that syncs remotes; without a resource it is that of
// the tenant.
func syncing(resource string, remotes ...any) object {
	if resource == "" {
		resource = "RESOURCE"
	}
	return flow(object{"name": "a", "type": "sync.files", "args": object{"resourceId": resource, "remotes": remotes}})
}

func many(n int) (tasks []any) {
	for i := range n {
		tasks = append(tasks, harness.Noop(fmt.Sprint("t", i)))
	}
	return tasks
}

func deep(n int) object {
	if n == 0 {
		return object{}
	}
	return object{"d": deep(n - 1)}
}

func TestRefusedJobs(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	foreign := tenant.Operator.NewTenant(t)
	t.Run("doors", func(t *testing.T) {
		for _, c := range refusals {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				request := replaced(tenant.Job(c.job, harness.Noop("a")), "RESOURCE", tenant.Resource, "FOREIGN", foreign.Resource).(object)
				refusedAlike(t, tenant.Operator, "CreateJob", request, c.want)
				request["validateOnly"] = true
				refusedAlike(t, tenant.Operator, "CreateJob", request, c.want)
			})
		}
	})
	jobs := harness.Must(t, tenant.Operator.GRPCDoor(), "ListJobs", object{"instanceId": tenant.Instance})
	if len(jobs) != 0 {
		t.Errorf("refused requests left %v", jobs)
	}
}

// replaced is a copy of a value with words of its texts replaced, and without
// keys that are nil.
func replaced(value any, words ...string) any {
	switch v := value.(type) {
	case object:
		out := object{}
		for key, inner := range v {
			if inner != nil {
				out[key] = replaced(inner, words...)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, inner := range v {
			out = append(out, replaced(inner, words...))
		}
		return out
	case string:
		return strings.NewReplacer(words...).Replace(v)
	}
	return value
}

// refusedAlike wants the violations from every door, as "path=REASON".
func refusedAlike(t *testing.T, caller *harness.Caller, rpc string, request object, want string) {
	t.Helper()
	for _, door := range caller.Doors() {
		r := harness.Refused(t, door, rpc, request)
		_, reason, _ := strings.Cut(strings.Fields(want)[0], "=")
		got := fmt.Sprint(r.Code, " ", r.Reason, " ", strings.Join(r.Violations, " "))
		if wanted := fmt.Sprint("INVALID_ARGUMENT ", reason, " ", want); got != wanted {
			t.Errorf("%s by %s:\n got %s\nwant %s", rpc, door.Name(), got, wanted)
		}
	}
}

// A refused task type is told with those that are known.
func TestUnknownTaskTypeNamesTheKnown(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	for _, door := range tenant.Operator.Doors() {
		r := harness.Refused(t, door, "CreateJob", tenant.Job(nil, object{"name": "a", "type": "gdal.warp"}))
		for _, known := range []string{"sync.files", "rclone.sync", "resource.input", "http.request", "util.sleep", "util.noop"} {
			if !strings.Contains(r.Message, known) {
				t.Errorf("by %s the message lacks %s: %s", door.Name(), known, r.Message)
			}
		}
	}
}

func TestRefusedUpdates(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	foreign := tenant.Operator.NewTenant(t)
	job := tenant.Create(t, object{"name": "kept", "frequencyType": "CRON_BASED", "cronExpression": "0 0 * * *"}, harness.Noop("a"))
	before := onAll(t, tenant.Operator, "GetJob", object{"jobId": job})
	t.Run("doors", func(t *testing.T) {
		for _, c := range []struct {
			name   string
			fields object
			want   string
		}{
			{"type without its parameter", object{"frequencyType": "INTERVAL_BASED"}, "intervalMinutes=REQUIRED"},
			{"parameter of another type", object{"intervalMinutes": 5}, "intervalMinutes=NOT_FOR_FREQUENCY_TYPE"},
			{"type and a parameter of another", object{"frequencyType": "MANUAL", "cronExpression": "* * * * *"}, "cronExpression=NOT_FOR_FREQUENCY_TYPE"},
			{"zone", object{"timeZone": "Local"}, "timeZone=UNKNOWN_TIME_ZONE"},
			{"cron", object{"cronExpression": "* * * * 8"}, "cronExpression=CRON_VALUE_RANGE"},
			{"workflow", flow(harness.Noop("a"), harness.Noop("a")), "workflow.tasks[1].name=DUPLICATE_TASK_NAME"},
			{"resource of another instance", syncing(foreign.Resource, "a:/x", "b:/y"), "workflow.tasks[0].args.resourceId=RESOURCE_NOT_FOUND"},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				fields := object{"id": job, "instanceId": tenant.Instance}
				for name, value := range c.fields {
					fields[name] = value
				}
				refusedAlike(t, tenant.Operator, "UpdateJob", object{"job": fields}, c.want)
			})
		}
		t.Run("another instance", func(t *testing.T) {
			t.Parallel()
			for _, door := range tenant.Operator.Doors() {
				r := harness.Refused(t, door, "UpdateJob", object{"job": object{"id": job, "instanceId": foreign.Instance, "name": "x"}})
				if r.Code != "NOT_FOUND" || r.Reason != "INSTANCE_NOT_FOUND" {
					t.Errorf("by %s: %v, want NOT_FOUND", door.Name(), r)
				}
			}
		})
	})
	if diff := cmp.Diff(before, onAll(t, tenant.Operator, "GetJob", object{"jobId": job})); diff != "" {
		t.Errorf("refused updates changed the job (-before +after):\n%s", diff)
	}
}

// sound is a config that is accepted.
var sound = object{"type": "s3", "provider": "AWS", "access_key_id": "AK", "secret_access_key": "SK", "region": "eu-north-1"}

func with(base object, name string, value any) object {
	out := maps.Clone(base)
	out[name] = value
	return out
}

func TestRefusedConfigs(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	t.Run("doors", func(t *testing.T) {
		for _, c := range []struct {
			name   string
			config object
			want   string
		}{
			{"type unknown", object{"r": with(sound, "type", "ftp")}, "config.r.type=UNKNOWN_REMOTE_TYPE"},
			{"type missing", object{"r": object{"access_key_id": "x"}}, "config.r.type=UNKNOWN_REMOTE_TYPE"},
			{"option unknown", object{"r": with(sound, "colour", "red")}, "config.r.colour=UNKNOWN_OPTION"},
			{"option that uses the host's identity", object{"r": with(sound, "env_auth", true)}, "config.r.env_auth=OPTION_NOT_ALLOWED"},
			{"option that reads files", object{"r": with(sound, "shared_credentials_file", "/etc/passwd")}, "config.r.shared_credentials_file=OPTION_NOT_ALLOWED"},
			{"option that runs commands", object{"r": object{"type": "sftp", "host": "h", "user": "u", "pass": "p", "ssh": "sh -c id"}}, "config.r.ssh=OPTION_NOT_ALLOWED"},
			{"option missing", object{"r": object{"type": "s3", "access_key_id": "AK"}}, "config.r.secret_access_key=REQUIRED"},
			{"name too long", object{strings.Repeat("r", 65): sound}, `config["` + strings.Repeat("r", 64) + `…"]=BAD_REMOTE_NAME`},
			{"remote no object", object{"r": "s3"}, "config.r=WRONG_TYPE"},
			{"value of the wrong type", object{"r": with(sound, "region", []any{"a"})}, "config.r.region=WRONG_TYPE"},
			{"too large", object{"r": with(sound, "session_token", strings.Repeat("x", 65<<10))}, "config=TOO_LARGE"},
			{"text with NUL", object{"r": with(sound, "region", "a\x00")}, "config.r.region=INVALID_TEXT"},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				refusedAlike(t, tenant.Operator, "AddConfig", object{"resourceId": tenant.Resource, "config": c.config}, c.want)
			})
		}
	})
	if got := onAll(t, tenant.Operator, "GetConfig", object{"resourceId": tenant.Resource}); got["remotes"] != nil {
		t.Errorf("refused requests left %v", got)
	}
}

func TestRefusedRest(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	job := tenant.Create(t, nil, harness.Noop("a"))
	for _, c := range []struct {
		rpc     string
		request object
		want    string
	}{
		{"CreateClient", object{"client": object{"scopes": []any{"instance-all"}}}, "scopes[0]=UNKNOWN_SCOPE"},
		{"CreateClient", object{"client": object{"scopes": []any{"operator", "instance-read-"}}}, "scopes[1]=UNKNOWN_SCOPE"},
		{"CreateInstance", object{"instance": object{"title": strings.Repeat("x", 201)}}, "title=STRING_MAX_LEN"},
		{"CreateResource", object{"instanceId": tenant.Instance, "resource": object{"description": strings.Repeat("x", 2001)}}, "description=STRING_MAX_LEN"},
		{"PreviewSchedule", object{"frequencyType": "CRON_BASED", "cronExpression": "* * *"}, "cronExpression=CRON_FIELD_COUNT"},
		{"PreviewSchedule", object{"frequencyType": "INTERVAL_BASED", "intervalMinutes": 1, "count": 101}, "count=INT32_GTE_LTE"},
		{"RunJob", object{"jobId": job, "requestId": strings.Repeat("x", 129)}, "requestId=STRING_MAX_LEN"},
	} {
		t.Run(c.rpc, func(t *testing.T) {
			t.Parallel()
			refusedAlike(t, tenant.Operator, c.rpc, c.request, c.want)
		})
	}
}
