package openapi

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func document(t *testing.T) object {
	t.Helper()
	h, err := New("https://carillon.example/")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	out := object{}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// at follows a path of names.
func at(o object, names ...string) any {
	var node any = o
	for _, name := range names {
		node = child(object{"": node}, "")[name]
	}
	return node
}

func TestDocument(t *testing.T) {
	t.Parallel()
	d := document(t)
	if version, _ := d["openapi"].(string); !strings.HasPrefix(version, "3.") {
		t.Errorf("version %q", version)
	}
	if servers, _ := json.Marshal(d["servers"]); string(servers) != `[{"url":"https://carillon.example"}]` {
		t.Errorf("servers %s", servers)
	}
	for _, want := range []struct {
		what string
		path []string
		json string
	}{
		{"a PATCH", []string{"paths", "/v1/jobs/{job_id}", "patch", "requestBody", "content", "application/json", "schema"}, `{"$ref":"#/components/schemas/carillon.v1.Job.Change"}`},
		{"the GET beside it", []string{"paths", "/v1/jobs/{job_id}", "get", "operationId"}, `"JobService_GetJob"`},
		{"lines of a log", []string{"paths", "/v1/executions/{execution_id}/log", "get", "responses", "200", "content", "application/x-ndjson", "schema"}, `{"$ref":"#/components/schemas/carillon.v1.TailLogResponse"}`},
		{"an error", []string{"paths", "/v1/instances", "get", "responses", "default", "content", "application/json", "schema"}, `{"$ref":"#/components/schemas/carillon.Error"}`},
		{"its fields", []string{"components", "schemas", "carillon.Error", "properties", "error", "required"}, `["code","status","message","details"]`},
		{"a time that may be null", []string{"components", "schemas", "carillon.v1.Job", "properties", "nextRun", "type"}, `["string","null"]`},
		{"a message that may be null", []string{"components", "schemas", "carillon.v1.Execution", "properties", "error", "anyOf"}, `[{"$ref":"#/components/schemas/carillon.v1.Execution.Error"},{"type":"null"}]`},
		{"text, which is never null", []string{"components", "schemas", "carillon.v1.Job", "properties", "name", "type"}, `"string"`},
		{"what a PATCH requires", []string{"components", "schemas", "carillon.v1.Job.Change", "required"}, `null`},
		{"what a POST requires", []string{"components", "schemas", "carillon.v1.Job", "required"}, `["workflow","frequencyType"]`},
	} {
		if got, _ := json.Marshal(at(d, want.path...)); string(got) != want.json {
			t.Errorf("%s is %s, want %s", want.what, got, want.json)
		}
	}
}

// Two addresses that differ in a parameter's name only are one, which OpenAPI
// forbids; and every reference must lead somewhere.
func TestDocumentIsConsistent(t *testing.T) {
	t.Parallel()
	d := document(t)
	param := regexp.MustCompile(`\{[^}]*\}`)
	seen := map[string]string{}
	for path, item := range child(d, "paths") {
		plain := param.ReplaceAllString(path, "{}")
		if other := seen[plain]; other != "" {
			t.Errorf("%s and %s are one address", path, other)
		}
		seen[plain] = path
		for verb, operation := range item.(object) {
			var named []string
			parameters, _ := operation.(object)["parameters"].([]any)
			for _, p := range parameters {
				if p.(object)["in"] == "path" {
					named = append(named, "{"+p.(object)["name"].(string)+"}")
				}
			}
			if got := param.FindAllString(path, -1); strings.Join(got, " ") != strings.Join(named, " ") {
				t.Errorf("%s %s has the parameters %v, its address %v", verb, path, named, got)
			}
		}
	}
	for _, path := range []string{"/v1/jobs/{job_id}/executions", "/v1/instances/{instance_id}/executions"} {
		parameters, _ := at(d, "paths", path, "get", "parameters").([]any)
		var names []string
		for _, p := range parameters {
			names = append(names, p.(object)["name"].(string))
		}
		if got := strings.Join(names[1:], " "); got != "pageSize pageToken" {
			t.Errorf("%s takes %s; the other address's parameter is refused", path, got)
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		if at(d, "components", "schemas", ref[1]) == nil {
			t.Errorf("a reference to %s leads nowhere", ref[1])
		}
	}
	if strings.Contains(string(text), "Stream result of") {
		t.Error("a stream is described as the gateway would send it")
	}
}
