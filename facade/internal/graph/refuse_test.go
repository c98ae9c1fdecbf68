package graph

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/facade/internal/facadetest"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// TestBadValues sends one fault in a literal and in a variable: the verdict
// must be the same.
func TestBadValues(t *testing.T) {
	t.Parallel()
	deepLiteral := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for name, c := range map[string]struct{ literal, variable, want string }{
		"workflow is a list":  {`[]`, `[]`, "workflow WRONG_TYPE"},
		"workflow is text":    {`"{}"`, `"{}"`, "workflow WRONG_TYPE"},
		"workflow is a block": {`"""{}"""`, `"{}"`, "workflow WRONG_TYPE"},
		"workflow is null":    {`null`, `null`, "workflow REQUIRED"},
		"beyond 2^53":         {`{tasks: [{args: {n: 9007199254740993}}]}`, `{"tasks": [{"args": {"n": 9007199254740993}}]}`, "workflow.tasks[0].args.n NUMBER_RANGE"},
		"beyond 64 bits":      {`{n: 99999999999999999999999}`, `{"n": 99999999999999999999999}`, "workflow.n NUMBER_RANGE"},
		"beyond a double":     {`{n: 1e999}`, `{"n": 1e999}`, "workflow.n NUMBER_RANGE"},
		"duplicate key":       {`{tasks: [{a: 1, a: 2}]}`, `{"tasks": [{"a": 1, "a": 2}]}`, "workflow.tasks[0].a DUPLICATE_KEY"},
		"NUL":                 {`{n: "a\u0000"}`, `{"n": "a\u0000"}`, "workflow.n INVALID_TEXT"},
		"too deep":            {`{n: ` + deepLiteral + `}`, `{"n": ` + deepLiteral + `}`, "workflow.n TOO_DEEP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			_, literal := b.post(t, `mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: `+c.literal+`) { id } }`, "")
			_, variable := b.post(t, `mutation ($w: JSON!) { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: $w) { id } }`, `{"w": `+c.variable+`}`)
			for form, got := range map[string]outcome{"literal": literal, "variable": variable} {
				fields := fieldsOf(got)
				if len(fields) == 1 {
					fields[0] = innermost.ReplaceAllString(fields[0], " TOO_DEEP")
				}
				if len(fields) != 1 || fields[0] != c.want {
					t.Errorf("%s: %q, want %q", form, fields, c.want)
				}
			}
			if calls := b.Calls("CreateJob"); len(calls) > 0 {
				t.Errorf("the service was called")
			}
		})
	}
}

// innermost is what of a path depends on the form of the request.
var innermost = regexp.MustCompile(`(\[0\])+ TOO_DEEP`)

// fieldsOf lists "path REASON" of every violation, and the code of every other
// error.
func fieldsOf(o outcome) []string {
	var fields []string
	for _, e := range o.Errors {
		if e.Extensions.Code != "INVALID_ARGUMENT" {
			fields = append(fields, e.Extensions.Code)
		}
		for _, v := range e.Extensions.FieldViolations {
			fields = append(fields, v.Field+" "+v.Reason)
		}
	}
	return fields
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	const create = `mutation ($v: %s) { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: {}, %s: $v) { id } }`
	for name, c := range map[string]struct{ query, variables, want string }{
		"Int as text":              {fmt.Sprintf(create, "Int", "intervalMinutes"), `{"v": "20"}`, "intervalMinutes WRONG_TYPE"},
		"Int with fraction":        {fmt.Sprintf(create, "Int", "intervalMinutes"), `{"v": 20.5}`, "intervalMinutes WRONG_TYPE"},
		"Int of 33 bits":           {fmt.Sprintf(create, "Int", "intervalMinutes"), `{"v": 8589934592}`, "intervalMinutes OUT_OF_RANGE"},
		"Int literal as text":      {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: {}, intervalMinutes: "20") { id } }`, "", "intervalMinutes WRONG_TYPE"},
		"Boolean as text":          {fmt.Sprintf(create, "Boolean", "active"), `{"v": "true"}`, "active WRONG_TYPE"},
		"String as a number":       {fmt.Sprintf(create, "String", "name"), `{"v": 5}`, "name WRONG_TYPE"},
		"enum as text literal":     {`mutation { createScheduledJob(instanceId: 1, frequencyType: "MANUAL", workflow: {}) { id } }`, "", "frequencyType INVALID_VALUE"},
		"unknown enum literal":     {`mutation { createScheduledJob(instanceId: 1, frequencyType: DAILY, workflow: {}) { id } }`, "", "frequencyType INVALID_VALUE"},
		"unknown enum variable":    {`mutation ($t: FrequencyType!) { createScheduledJob(instanceId: 1, frequencyType: $t, workflow: {}) { id } }`, `{"t": "DAILY"}`, "frequencyType INVALID_VALUE"},
		"enum in lower case":       {`mutation ($t: FrequencyType!) { createScheduledJob(instanceId: 1, frequencyType: $t, workflow: {}) { id } }`, `{"t": "manual"}`, "frequencyType INVALID_VALUE"},
		"ID with fraction":         {`query ($id: ID!) { getScheduledJob(jobId: $id) { id } }`, `{"id": 42.5}`, "jobId WRONG_TYPE"},
		"ID is a list":             {`query ($id: ID!) { getScheduledJob(jobId: $id) { id } }`, `{"id": [1]}`, "jobId WRONG_TYPE"},
		"ID is missing":            {`query ($id: ID!) { getScheduledJob(jobId: $id) { id } }`, `{}`, "jobId REQUIRED"},
		"ID literal too large":     {`{ getScheduledJob(jobId: 99999999999999999999) { id } }`, "", "jobId NUMBER_RANGE"},
		"unknown field of a page":  {`query ($p: Page) { getInstanceJobHistory(instanceId: 1, page: $p) { hasNextPage } }`, `{"p": {"last": 1}}`, "page.last UNKNOWN_FIELD"},
		"page literal":             {`{ getInstanceJobHistory(instanceId: 1, page: {first: "a"}) { hasNextPage } }`, "", "page.first WRONG_TYPE"},
		"page within a variable":   {`query ($n: Int) { getInstanceJobHistory(instanceId: 1, page: {first: $n}) { hasNextPage } }`, `{"n": true}`, "page.first WRONG_TYPE"},
		"bad date":                 {`{ getJobOccurrences(jobId: 1, from: "yesterday") { hasNextPage } }`, "", "from INVALID_VALUE"},
		"date as a number":         {`{ getJobOccurrences(jobId: 1, from: 5) { hasNextPage } }`, "", "from WRONG_TYPE"},
		"bad duration":             {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: {}, retryPolicy: {minBackoff: "1h"}) { id } }`, "", "retryPolicy.minBackoff INVALID_VALUE"},
		"label is no text":         {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: {}, labels: {a: 1}) { id } }`, "", "labels.a WRONG_TYPE"},
		"no workflow":              {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL) { id } }`, "", "workflow REQUIRED"},
		"unknown argument":         {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: {}, cron: "a") { id } }`, "", "cron UNKNOWN_FIELD"},
		"neither id nor jobId":     {`mutation { deleteScheduledJob { success } }`, "", "jobId REQUIRED"},
		"both id and jobId":        {`mutation { deleteScheduledJob(id: 1, jobId: 1) { success } }`, "", "jobId REQUIRED"},
		"negative page of a log":   {`{ getJobLog(jobHistoryId: 5, page: {first: -1}) { hasNextPage } }`, "", "page.first OUT_OF_RANGE"},
		"variable by another name": {`mutation ($w: JSON!) { addJobConfig(resourceId: 7, config: {drive: $w}) { success } }`, `{"w": {"n": 1e999}}`, "config.drive.n NUMBER_RANGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w, got := b.post(t, c.query, c.variables)
			if fields := fieldsOf(got); len(fields) != 1 || fields[0] != c.want {
				t.Errorf("%q, want %q\n%s", fields, c.want, w.Body)
			}
			if e := got.Errors[0]; len(e.Path) > 1 || len(e.Path) == 1 && len(e.Locations) == 0 {
				t.Errorf("the path is not that of the field: %+v", e)
			}
			for _, call := range b.Calls() {
				if call.Method != "CheckAccess" {
					t.Errorf("%s was called", call.Method)
				}
			}
		})
	}
}

func TestErrorsOfTheService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Fail("GetJob", facadetest.Error(codes.NotFound, "JOB_NOT_FOUND", "no such job"))
	b.Fail("CreateJob", facadetest.Error(codes.InvalidArgument, "UNKNOWN_INPUT", "workflow.tasks[1].inputs[0]: no such task",
		&errdetails.BadRequest_FieldViolation{Field: "workflow.tasks[1].inputs[0]", Reason: "UNKNOWN_INPUT", Description: "no such task"}))
	b.Fail("ListExecutions", facadetest.Error(codes.InvalidArgument, "INT32_GTE", "pageSize: must not be negative",
		&errdetails.BadRequest_FieldViolation{Field: "pageSize", Reason: "INT32_GTE", Description: "must not be negative"}))
	b.Fail("ListJobs", status.Error(codes.Unavailable, "dial tcp 10.1.2.3:9090: refused"))
	b.On("RunJob", func(context.Context, proto.Message) (proto.Message, error) {
		s, err := status.New(codes.FailedPrecondition, "another one runs").WithDetails(&errdetails.ErrorInfo{
			Reason: "OVERLAP", Domain: "carillon", Metadata: map[string]string{"executionId": "exec_4"}})
		if err != nil {
			return nil, err
		}
		return nil, s.Err()
	})
	for name, c := range map[string]struct {
		query, data, code, reason, message, field string
	}{
		"null and the error":      {`{ j: getScheduledJob(jobId: 1) { id } }`, `map[j:<nil>]`, "NOT_FOUND", "JOB_NOT_FOUND", "no such job", ""},
		"path of the resource":    {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: {}) { id } }`, `<nil>`, "INVALID_ARGUMENT", "UNKNOWN_INPUT", "workflow.tasks[1].inputs[0]: no such task", "workflow.tasks[1].inputs[0] UNKNOWN_INPUT"},
		"path of the argument":    {`{ getInstanceJobHistory(instanceId: 1, page: {first: -1}) { cursor } }`, `<nil>`, "INVALID_ARGUMENT", "INT32_GTE", "page.first: must not be negative", "page.first INT32_GTE"},
		"hidden cause":            {`{ getScheduledJobs(instanceId: 1) { id } }`, `<nil>`, "UNAVAILABLE", "UNAVAILABLE", "the service cannot be reached now; try again", ""},
		"facts of a precondition": {`mutation { runScheduledJob(jobId: 1) { id } }`, `<nil>`, "FAILED_PRECONDITION", "OVERLAP", "another one runs", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, got := b.post(t, c.query, "")
			if w.Code != http.StatusOK || len(got.Errors) != 1 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			e := got.Errors[0]
			if e.Extensions.Code != c.code || e.Extensions.Reason != c.reason || e.Message != c.message || len(e.Path) != 1 || len(e.Locations) != 1 {
				t.Errorf("error %+v", e)
			}
			if data := fmt.Sprint(got.Data); data != c.data {
				t.Errorf("data %s, want %s", data, c.data)
			}
			if fields := fieldsOf(got); c.field != "" && !cmp.Equal(fields, []string{c.field}) {
				t.Errorf("fields %q, want %q", fields, c.field)
			}
			if want := map[string]string{"executionId": "exec_4"}; c.reason == "OVERLAP" && !cmp.Equal(e.Extensions.Metadata, want) {
				t.Errorf("metadata %v", e.Extensions.Metadata)
			}
			if !strings.Contains(w.Body.String(), `"fieldViolations":[`) {
				t.Errorf("no fieldViolations: %s", w.Body)
			}
		})
	}
	if !strings.Contains(b.log.String(), "10.1.2.3") {
		t.Error("the hidden cause is not in the log")
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	none := func(r *http.Request) { r.Header.Del("Authorization") }
	bad := func(r *http.Request) { r.Header.Set("Authorization", "Bearer bad") }
	two := func(r *http.Request) { r.Header.Add("Authorization", "Bearer good") }
	foreign := func(b *bench) {
		b.Fail("CheckAccess", facadetest.Error(codes.NotFound, "INSTANCE_NOT_FOUND", "no such instance"))
	}
	for name, c := range map[string]struct {
		query, variables string
		edit             func(*http.Request)
		set              func(*bench)
		http             int
		code             string
	}{
		"none":                           {`{ getScheduledJobs(instanceId: 1) { id } }`, "", none, nil, 401, "UNAUTHENTICATED"},
		"bad":                            {`{ getScheduledJob(jobId: 1) { id } }`, "", bad, nil, 401, "UNAUTHENTICATED"},
		"two":                            {`{ __typename }`, "", two, nil, 401, "UNAUTHENTICATED"},
		"none for a mutation":            {`mutation { deleteScheduledJob(id: 1) { success } }`, "", none, nil, 401, "UNAUTHENTICATED"},
		"none beside introspection":      {`{ __typename getScheduledJob(jobId: 1) { id } }`, "", none, nil, 401, "UNAUTHENTICATED"},
		"none for introspection":         {`{ __schema { queryType { name } } }`, "", none, nil, 200, ""},
		"bad for introspection":          {`{ __type(name: "Query") { name } }`, "", bad, nil, 200, ""},
		"none, bad literal":              {`{ getScheduledJob(jobId: 1e999) { id } }`, "", none, nil, 401, "UNAUTHENTICATED"},
		"none, bad variable":             {`query ($i: ID!) { getScheduledJob(jobId: $i) { id } }`, "{}", none, nil, 401, "UNAUTHENTICATED"},
		"none, bad argument":             {`mutation { addJobConfig(resourceId: 1, config: []) { success } }`, "", none, nil, 401, "UNAUTHENTICATED"},
		"foreign object, bad literal":    {`{ getScheduledJobs(instanceId: 1, ) { history { id @include(if: 9e999) } } }`, "", func(*http.Request) {}, foreign, 200, "NOT_FOUND"},
		"foreign object, bad argument":   {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: []) { id } }`, "", func(*http.Request) {}, foreign, 200, "NOT_FOUND"},
		"foreign object, bad variable":   {`query ($p: Page) { getInstanceJobHistory(instanceId: 1, page: $p) { cursor } }`, `{"p": 1}`, func(*http.Request) {}, foreign, 200, "NOT_FOUND"},
		"foreign object, no workflow":    {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL) { id } }`, "", func(*http.Request) {}, foreign, 200, "NOT_FOUND"},
		"none, no workflow":              {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL) { id } }`, "", none, nil, 401, "UNAUTHENTICATED"},
		"own object, but bad argument":   {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: []) { id } }`, "", func(*http.Request) {}, nil, 200, "INVALID_ARGUMENT"},
		"none, but no valid document":    {`{ nothing }`, "", none, nil, 200, "INVALID_ARGUMENT"},
		"none, but no document at all":   {`{`, "", none, nil, 200, "INVALID_ARGUMENT"},
		"none, subscription":             {`subscription { nothing }`, "", none, nil, 200, "INVALID_ARGUMENT"},
		"none, incremental delivery":     {`{ ... @defer { __typename } }`, "", none, nil, 200, "INVALID_ARGUMENT"},
		"none, but too many root fields": {`{ ` + strings.Repeat("__typename ", 21) + ` }`, "", none, nil, 200, "INVALID_ARGUMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.set != nil {
				c.set(b)
			}
			w, got := b.post(t, c.query, c.variables, c.edit)
			code := ""
			if len(got.Errors) > 0 {
				code = got.Errors[0].Extensions.Code
			}
			if w.Code != c.http || code != c.code {
				t.Errorf("status %d %s, want %d %s\n%s", w.Code, code, c.http, c.code, w.Body)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (c.http == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
		})
	}
}

// No answer and no log line repeats a value that was sent.
func TestNoEcho(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-8f2a"
	b := newBench(t)
	b.Fail("AddConfig", status.Error(codes.Internal, "a driver says something"))
	for name, body := range map[string]string{
		"malformed body":      `{"query": "mutation { addJobConfig(config: {a: \"` + canary + `\"})`,
		"not JSON":            canary,
		"batch":               `[{"query": "` + canary + `"}]`,
		"no text":             `{"query": {"a": "` + canary + `"}}`,
		"bad variables":       `{"query": "{ __typename }", "variables": "` + canary + `"}`,
		"bad operationName":   `{"query": "{ __typename }", "operationName": "` + canary + `"}`,
		"syntax, a text":      `{"query": "mutation { addJobConfig \"` + canary + `\" }"}`,
		"syntax, a name":      `{"query": "mutation { addJobConfig(config: {a CANARY_8f2a})"}`,
		"syntax, unfinished":  `{"query": "mutation { addJobConfig(config: {a: \"` + canary + `"}`,
		"text for an object":  `{"query": "mutation { addJobConfig(resourceId: 1, config: \"` + canary + `\") { success } }"}`,
		"object for text":     `{"query": "mutation { createInstance(title: {a: \"` + canary + `\"}) { id } }"}`,
		"list for an ID":      `{"query": "{ getScheduledJob(jobId: [\"` + canary + `\"]) { id } }"}`,
		"text for an enum":    `{"query": "mutation { createScheduledJob(instanceId: 1, workflow: {}, frequencyType: \"` + canary + `\") { id } }"}`,
		"enum by variable":    `{"query": "mutation ($t: FrequencyType!) { createScheduledJob(instanceId: 1, workflow: {}, frequencyType: $t) { id } }", "variables": {"t": "` + canary + `"}}`,
		"text for an Int":     `{"query": "mutation ($n: Int) { createScheduledJob(instanceId: 1, workflow: {}, frequencyType: MANUAL, intervalMinutes: $n) { id } }", "variables": {"n": "` + canary + `"}}`,
		"conflicting":         `{"query": "{ a: getScheduledJob(jobId: \"` + canary + `\") { id } a: getScheduledJob(jobId: \"x` + canary + `\") { id } }"}`,
		"unknown argument":    `{"query": "mutation { addJobConfig(resourceId: 1, conf: {a: \"` + canary + `\"}) { success } }"}`,
		"duplicate key":       `{"query": "mutation { addJobConfig(resourceId: 1, config: {a: \"` + canary + `\", a: 1}) { success } }"}`,
		"bad default":         `{"query": "query ($n: Int = \"` + canary + `\") { getScheduledJob(jobId: $n) { id } }"}`,
		"accepted":            `{"query": "mutation { addJobConfig(resourceId: 1, config: {s3: {secret_access_key: \"` + canary + `\"}}) { success } }"}`,
		"accepted, variables": `{"query": "mutation ($c: JSON!) { addJobConfig(resourceId: 1, config: $c) { success } }", "variables": {"c": {"s3": {"a": "` + canary + `"}}}}`,
	} {
		w, got := b.send(t, body)
		if len(got.Errors) == 0 {
			t.Errorf("%s: no error", name)
		}
		if out := w.Body.String() + b.log.String(); strings.Contains(strings.ReplaceAll(out, "_8", "-8"), canary) {
			t.Errorf("%s: the value is repeated:\n%s", name, out)
		}
	}
}

func TestPanicIsOneError(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.On("ListJobs", func(context.Context, proto.Message) (proto.Message, error) {
		return &carillonv1.ListJobsResponse{Jobs: []*carillonv1.Job{{}}}, nil // has no workflow, which must not be null
	})
	w, got := b.post(t, `{ getScheduledJobs(instanceId: 1) { workflow } }`, "")
	if w.Code != http.StatusOK || len(got.Errors) != 1 || got.Errors[0].Extensions.Code != "INTERNAL" || got.Errors[0].Message != "internal error" {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}
