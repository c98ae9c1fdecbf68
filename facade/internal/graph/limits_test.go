package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// doubling is a chain of fragments, each of which spreads the next twice, so
// that the last one is reached 2^n times.
func doubling(n int, first, last string) string {
	text := first
	for i := range n {
		text += fmt.Sprintf(" fragment f%d on Query { ...f%d ...f%d }", i, i+1, i+1)
	}
	return text + fmt.Sprintf(" fragment f%d on Query { %s }", n, last)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	tasks := make([]string, 100)
	for i := range tasks {
		tasks[i] = fmt.Sprintf(`{name: "t%d", type: "util.noop", args: {a: [1, 2, 3], b: {c: "d", e: null, f: [{g: 1.5}]}}, inputs: ["t%d"]}`, i, i-1)
	}
	workflow := `{tasks: [` + strings.Join(tasks, ", ") + `]}`
	deep := strings.Repeat("{a: ", 99) + "1" + strings.Repeat("}", 99)
	for name, c := range map[string]struct{ query, want string }{
		"100 tasks as a literal": {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: ` + workflow + `) { id } }`, ""},
		"as a default":           {`mutation ($w: JSON! = ` + workflow + `) { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: $w) { id } }`, ""},
		"100 levels in JSON":     {`mutation { createScheduledJob(instanceId: 1, frequencyType: MANUAL, workflow: ` + deep + `) { id } }`, ""},
		"large pages":            {`{ getInstanceJobHistory(instanceId: 1, page: {first: 1000}) { items { id jobId success logPath createdAt signedLogUrl state tasks { name type state startedAt finishedAt error { code reason message } } } cursor hasNextPage } }`, ""},
		"20 root fields":         {`{ ` + strings.Repeat("__typename ", 20) + ` }`, ""},
		"aliases":                {`{ ` + aliases(20_000) + ` }`, "QUERY_TOO_LONG"},
		"21 root fields":         {`{ ` + aliases(21) + ` }`, "QUERY_TOO_LONG"},
		"root fields by spread":  {`{ ...f ...g } fragment f on Query { ` + aliases(11) + ` } fragment g on Query { ` + aliases(11) + ` }`, "QUERY_TOO_LONG"},
		"directives":             {`{ __typename ` + strings.Repeat("@skip(if: false) ", 5000) + ` }`, "QUERY_TOO_LONG"},
		"operations":             {strings.Repeat("query { __typename } ", 1000), "QUERY_TOO_LONG"},
		"variables":              {`query (` + strings.Repeat("$a: Int ", 1000) + `) { __typename }`, "QUERY_TOO_LONG"},
		"nested selections":      {strings.Repeat("{ a ", 200_000), "QUERY_TOO_LONG"},
		"too deep":               {`{ __schema { types ` + strings.Repeat("{ ofType ", 20) + `{ name }` + strings.Repeat("}", 20) + ` } }`, "QUERY_TOO_DEEP"},
		"too deep by spread":     {`{ __schema { types { ...a } } } fragment a on __Type { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ...b } } } } } } } } fragment b on __Type { ofType { ofType { ofType { ofType { ofType { ofType { ofType { name } } } } } } } }`, "QUERY_TOO_DEEP"},
		"doubling fragments":     {doubling(60, "{ ...f0 }", "__typename"), "QUERY_TOO_LONG"},
		"doubling nothing":       {doubling(60, "{ ...f0 }", "...unknown"), "QUERY_TOO_LONG"},
		"a cycle":                {`{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`, "GRAPHQL_VALIDATION"},
		"introspection in rings": {`{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }`, "GRAPHQL_VALIDATION"},
		"nested lists":           {`{ ` + costly(8) + ` }`, "QUERY_TOO_COMPLEX"},
		"half of that":           {`{ ` + costly(3) + ` }`, ""},
		"by a variable":          {`query ($n: Int = 1000) { ` + strings.ReplaceAll(costly(8), "1000", "$n") + ` }`, "QUERY_TOO_COMPLEX"},
		"by a fragment":          {`{ a: getInstanceJobHistory(instanceId: 1, page: {first: 1000}) { ...h } b: getInstanceJobHistory(instanceId: 1, page: {first: 1000}) { ...h } c: getInstanceJobHistory(instanceId: 1, page: {first: 1000}) { ...h } } fragment h on InstanceJobHistory { items { tasks { name type state startedAt finishedAt error { code reason message } } } }`, "QUERY_TOO_COMPLEX"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w, got := b.post(t, c.query, "")
			reason := ""
			if len(got.Errors) > 0 {
				reason = got.Errors[0].Extensions.Reason
			}
			if reason != c.want {
				t.Errorf("%q, want %q: %.500s", reason, c.want, w.Body)
			}
			if w.Body.Len() > 100_000 {
				t.Errorf("an answer of %d bytes", w.Body.Len())
			}
		})
	}
}

func aliases(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "a%d: __typename ", i)
	}
	return text.String()
}

// costly asks for n pages with everything.
func costly(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "a%d: getInstanceJobHistory(instanceId: 1, page: {first: 1000}) { items { id tasks { name type state startedAt finishedAt } } } ", i)
	}
	return text.String()
}

func TestBodyIsLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w, got := b.post(t, `{ __typename } #`+strings.Repeat("x", 1<<20), "")
	if w.Code != http.StatusRequestEntityTooLarge || got.Errors[0].Extensions.Code != "RESOURCE_EXHAUSTED" {
		t.Errorf("status %d: %.200s", w.Code, w.Body)
	}
}

// A list of jobs with their histories takes two calls, however many jobs.
func TestHistoriesAreReadTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pages := 0
	b.On("ListJobs", func(_ context.Context, in proto.Message) (proto.Message, error) {
		pages++
		out := &carillonv1.ListJobsResponse{NextPageToken: map[int]string{1: "2"}[pages]}
		for i := range 1000 {
			out.Jobs = append(out.Jobs, &carillonv1.Job{Id: fmt.Sprintf("job_%d", pages*1000+i), InstanceId: "inst_1"})
		}
		return out, nil
	})
	b.On("ListLatestExecutions", func(_ context.Context, in proto.Message) (proto.Message, error) {
		out := &carillonv1.ListLatestExecutionsResponse{}
		for _, id := range in.(*carillonv1.ListLatestExecutionsRequest).GetJobIds() {
			if id != "job_1001" {
				out.Executions = append(out.Executions, &carillonv1.Execution{Id: "exec_" + id, JobId: id})
			}
		}
		return out, nil
	})
	_, got := b.post(t, `{ getScheduledJobs(instanceId: 1) { id history(first: 2) { id jobId } again: history(first: 2) { id } } }`, "")
	jobs, _ := got.Data.(map[string]any)["getScheduledJobs"].([]any)
	if len(jobs) != 2000 || len(got.Errors) > 0 {
		t.Fatalf("%d jobs, errors %+v", len(jobs), got.Errors)
	}
	for _, one := range jobs {
		job := one.(map[string]any)
		history, again := job["history"].([]any), job["again"].([]any)
		if job["id"] == "job_1001" {
			if len(history) != 0 {
				t.Errorf("a job without executions has %v", history)
			}
		} else if len(history) != 1 || len(again) != 1 || history[0].(map[string]any)["jobId"] != job["id"] {
			t.Errorf("job %v has %v", job["id"], history)
		}
	}
	calls := b.Calls("ListLatestExecutions")
	if len(calls) != 2 {
		t.Fatalf("%d calls for 2000 jobs", len(calls))
	}
	if count := calls[0].Request.(*carillonv1.ListLatestExecutionsRequest).GetCount(); count != 2 {
		t.Errorf("asked for %d executions of each", count)
	}
}

func TestLengthOfHistories(t *testing.T) {
	t.Parallel()
	for argument, want := range map[string]int32{``: 10, `(first: null)`: 10, `(first: 0)`: 10, `(first: 1)`: 1, `(first: 11)`: 10} {
		b := newBench(t)
		b.Answer("GetJob", &carillonv1.Job{Id: "job_19", InstanceId: "inst_1"})
		b.Answer("ListLatestExecutions", &carillonv1.ListLatestExecutionsResponse{})
		_, got := b.post(t, `{ getScheduledJob(jobId: 19) { history`+argument+` { id } } }`, "")
		if len(got.Errors) > 0 {
			t.Fatalf("history%s: %+v", argument, got.Errors)
		}
		if count := b.Calls("ListLatestExecutions")[0].Request.(*carillonv1.ListLatestExecutionsRequest).GetCount(); count != want {
			t.Errorf("history%s asks for %d executions, want %d", argument, count, want)
		}
	}
	b := newBench(t)
	b.Answer("GetJob", &carillonv1.Job{Id: "job_19", InstanceId: "inst_1"})
	if _, got := b.post(t, `{ getScheduledJob(jobId: 19) { history(first: -1) { id } } }`, ""); len(got.Errors) != 1 || got.Errors[0].Extensions.Code != "INVALID_ARGUMENT" {
		t.Errorf("a negative length: %+v", got.Errors)
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	const query = `{"query": "{ __typename }"}`
	get := func(values url.Values) string { return "/graphql?" + values.Encode() }
	for name, c := range map[string]struct {
		method, address, body string
		header                []string
		want                  int
		media                 string
	}{
		"POST":                     {"POST", "/graphql", query, nil, 200, jsonMedia},
		"any":                      {"POST", "/graphql", query, []string{"Accept", "*/*"}, 200, jsonMedia},
		"the new media type":       {"POST", "/graphql", query, []string{"Accept", "application/graphql-response+json"}, 200, graphqlMedia},
		"the better one":           {"POST", "/graphql", query, []string{"Accept", "application/json;q=0.5, application/graphql-response+json"}, 200, graphqlMedia},
		"not acceptable":           {"POST", "/graphql", query, []string{"Accept", "image/png"}, 406, jsonMedia},
		"refused by quality":       {"POST", "/graphql", query, []string{"Accept", "application/json;q=0"}, 406, jsonMedia},
		"GET":                      {"GET", get(url.Values{"query": {"query ($a: ID!) { __typename }"}, "variables": {`{"a": "1"}`}}), "", nil, 200, jsonMedia},
		"GET without a query":      {"GET", "/graphql", "", nil, 400, jsonMedia},
		"GET with bad variables":   {"GET", get(url.Values{"query": {"{ __typename }"}, "variables": {"{"}}), "", nil, 400, jsonMedia},
		"GET with two queries":     {"GET", get(url.Values{"query": {"{ __typename }", "{ a: __typename }"}}), "", nil, 400, jsonMedia},
		"GET with no UTF-8":        {"GET", "/graphql?query=%ff", "", nil, 400, jsonMedia},
		"mutation by GET":          {"GET", get(url.Values{"query": {"mutation { __typename }"}}), "", nil, 405, jsonMedia},
		"PUT":                      {"PUT", "/graphql", query, nil, 405, jsonMedia},
		"form":                     {"POST", "/graphql", "query={__typename}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, jsonMedia},
		"no Content-Type":          {"POST", "/graphql", query, []string{"Content-Type", ""}, 415, jsonMedia},
		"multipart":                {"POST", "/graphql", query, []string{"Content-Type", "multipart/form-data; boundary=a"}, 415, jsonMedia},
		"empty":                    {"POST", "/graphql", "", nil, 400, jsonMedia},
		"no object":                {"POST", "/graphql", "5", nil, 400, jsonMedia},
		"batch":                    {"POST", "/graphql", " [" + query + "]", nil, 400, jsonMedia},
		"no query":                 {"POST", "/graphql", `{"Query": "{ __typename }"}`, nil, 400, jsonMedia},
		"query is null":            {"POST", "/graphql", `{"query": null}`, nil, 400, jsonMedia},
		"persisted":                {"POST", "/graphql", `{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a"}}}`, nil, 400, jsonMedia},
		"two spellings":            {"POST", "/graphql", `{"query": "{ __typename }", "query": "{ a: __typename }"}`, nil, 400, jsonMedia},
		"nulls":                    {"POST", "/graphql", `{"query": "{ __typename }", "variables": null, "operationName": null, "extensions": null}`, nil, 200, jsonMedia},
		"unknown operation":        {"POST", "/graphql", `{"query": "query A { __typename }", "operationName": "B"}`, nil, 200, jsonMedia},
		"bad document":             {"POST", "/graphql", `{"query": "{ a"}`, nil, 200, jsonMedia},
		"bad document, new type":   {"POST", "/graphql", `{"query": "{ a"}`, []string{"Accept", graphqlMedia}, 400, graphqlMedia},
		"bad variables, new type":  {"POST", "/graphql", `{"query": "query ($a: Int!) { __typename }"}`, []string{"Accept", graphqlMedia}, 400, graphqlMedia},
		"variables are no object":  {"POST", "/graphql", `{"query": "{ __typename }", "variables": []}`, nil, 400, jsonMedia},
		"extensions are no object": {"POST", "/graphql", `{"query": "{ __typename }", "extensions": 1}`, nil, 400, jsonMedia},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := httptest.NewRequest(c.method, c.address, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json")
			for i := 0; i+1 < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			w := httptest.NewRecorder()
			b.handler.ServeHTTP(w, r)
			if w.Code != c.want || w.Header().Get("Content-Type") != c.media+"; charset=utf-8" {
				t.Fatalf("status %d %s, want %d: %s", w.Code, w.Header().Get("Content-Type"), c.want, w.Body)
			}
			var out map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
			if _, data := out["data"]; data == (out["errors"] != nil) {
				t.Errorf("data and errors: %s", w.Body)
			}
			if len(b.Calls()) > 0 {
				t.Errorf("calls %+v", b.Calls())
			}
		})
	}
}

// Apollo's persisted queries and those of others send the hash of a query first,
// and its text when the answer has exactly this message.
func TestPersistedQueriesAreNotSupported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, body := range []string{
		`{"operationName": "A", "variables": {}, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a"}}}`,
		`{"query": "{ __typename }", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a"}}}`,
	} {
		_, got := b.send(t, body)
		if wants := !strings.Contains(body, "query\":"); wants != (len(got.Errors) == 1) || wants && got.Errors[0].Message != "PersistedQueryNotSupported" {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestErrorsAreLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, got := b.post(t, "{ __schema { "+strings.Repeat("x ", 1000)+" } }", ""); len(got.Errors) != maxErrors {
		t.Errorf("%d errors", len(got.Errors))
	}
}
