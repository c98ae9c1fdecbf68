package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pointscene/carillon/tests/harness"
)

// What is missing and what belongs to others are told alike.
func TestMissingAndForeignAlike(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	job := tenant.Create(t, nil, harness.Noop("a"))
	execution := tenant.Run(t, job)
	tenant.End(t, execution)
	stranger := server.As(server.Token(t, "instance-write-999999"))
	for rpc, ids := range map[string][]string{
		"GetInstance":    {"instanceId", tenant.Instance, "inst_888888", "888888", "job_1", "inst_0", "inst_01", "inst_-1", "inst_9007199254740992", "zzz"},
		"GetResource":    {"resourceId", tenant.Resource, "res_888888", "888888", "inst_1", "zzz"},
		"GetJob":         {"jobId", job, "job_888888", "888888", "exec_1", "zzz", "job_" + strings.Repeat("9", 300)},
		"GetExecution":   {"executionId", execution, "exec_888888", "888888", "job_1", "zzz"},
		"ListJobs":       {"instanceId", tenant.Instance, "inst_888888", "zzz"},
		"ListExecutions": {"instanceId", tenant.Instance, "inst_888888", "zzz"},
		"TailLog":        {"executionId", execution, "exec_888888", "zzz"},
	} {
		t.Run(rpc, func(t *testing.T) {
			t.Parallel()
			for _, door := range stranger.Doors() {
				var first string
				for i, id := range ids[1:] {
					r := harness.Refused(t, door, rpc, object{ids[0]: id})
					shown := id
					if len(id) > 40 {
						shown = id[:40]
					}
					told := fmt.Sprint(r.Code, r.Reason, strings.ReplaceAll(r.Message, shown, "ID"))
					if i == 0 {
						first = told
					}
					if told != first || r.Code != "NOT_FOUND" {
						t.Errorf("by %s %s is told as %v, and a foreign one as %s", door.Name(), id, r, first)
					}
				}
			}
		})
	}
}

// A number is an identifier, with and without its prefix, as text and as an
// integer.
func TestIdentifiersInAllForms(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	job := tenant.Create(t, nil, harness.Noop("a"))
	number := strings.TrimPrefix(job, "job_")
	for _, door := range tenant.Operator.Doors() {
		if got := harness.Must(t, door, "GetJob", object{"jobId": number}); got["id"] != job {
			t.Errorf("by %s the bare number answers %v", door.Name(), got["id"])
		}
	}
	inner := harness.Text(harness.Must(t, tenant.Operator.RESTDoor(), "CreateJob", tenant.Job(nil,
		object{"name": "a", "type": "resource.input", "args": object{"id": 1}})), "id")
	if inner == "" {
		t.Error("an integer in a workflow is no identifier")
	}
	answer, err := tenant.Operator.HTTP(t.Context(), http.MethodPost, "/v1/clients", `{"title": "t", "scopes": ["instance-*"], "instanceIds": [1]}`)
	if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"inst_1"`) {
		t.Errorf("an integer in a list of identifiers: %d %s %v", answer.Status, answer.Body, err)
	}
}
