package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// Documents that are made to cost much are refused at little cost: in under 50
// ms on a machine that has nothing else to do, in less than 1 KB, and without
// memory that stays.
func TestGraphQLAbuse(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	aliases, doubling := strings.Builder{}, strings.Builder{}
	for i := range 20_000 {
		fmt.Fprintf(&aliases, "a%d: __typename ", i)
	}
	for i := range 60 {
		fmt.Fprintf(&doubling, " fragment f%d on Query { ...f%d ...f%d }", i, i+1, i+1)
	}
	page := "getInstanceJobHistory(instanceId: 1, page: {first: 1000}) { items { id tasks { name type state startedAt finishedAt } } } "
	query := func(text string) string {
		body, _ := json.Marshal(map[string]string{"query": text}) // texts always encode
		return string(body)
	}
	bodies := map[string]string{
		"20,000 aliases":         query("{ " + aliases.String() + "}"),
		"50,000 directives":      query("{ __typename " + strings.Repeat("@a ", 50_000) + "}"),
		"depth 200,000":          query(strings.Repeat("{ a ", 200_000)),
		"doubling fragments":     query("{ ...f0 }" + doubling.String() + " fragment f60 on Query { __typename }"),
		"fragments in a ring":    query("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"),
		"introspection in rings": query("{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"),
		"nested lists":           query("{ " + strings.ReplaceAll("a: P b: P c: P d: P e: P f: P g: P h: P", "P", page) + "}"),
		"10,000 operations":      query(strings.Repeat("query { __typename } ", 10_000)),
		"a deep variable":        `{"query": "{ __typename }", "variables": ` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "}",
		"a batch of 10,000":      "[" + strings.TrimSuffix(strings.Repeat(`{"query":"{ __typename }"},`, 10_000), ",") + "]",
		"a body too large":       query("{ __typename } #" + strings.Repeat("x", 1<<20)),
	}
	before, live := server.Resident(), server.Live(t)
	for name, body := range bodies {
		best, size, tries := time.Hour, 0, 0
		// A busy machine is asked again: one answer in time shows what it costs.
		quick := harness.Within(5*time.Second, func() bool {
			tries++
			began := time.Now()
			answer, err := tenant.Operator.HTTP(t.Context(), http.MethodPost, "/graphql", body)
			best = min(best, time.Since(began))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			size = max(size, len(answer.Body))
			if !strings.Contains(string(answer.Body), `"errors"`) || strings.Contains(string(answer.Body), `"data":{`) {
				t.Fatalf("%s: answered %.300s", name, answer.Body)
			}
			return tries >= 5 && best <= time.Second // ten times as slow, and under the race detector
		})
		t.Logf("%-24s %7d bytes: answered in %8s, %4d bytes", name, len(body), best.Round(10*time.Microsecond), size)
		if size > 1000 {
			t.Errorf("%s is answered with %d bytes", name, size)
		}
		if !quick {
			t.Errorf("%s took %s at best, of %d times", name, best, tries)
		}
	}
	// What it takes meanwhile is garbage, which the process keeps for its next use.
	after, once := server.Resident(), server.Live(t)
	for name, body := range bodies {
		if _, err := tenant.Operator.HTTP(t.Context(), http.MethodPost, "/graphql", body); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	again := server.Live(t)
	t.Logf("memory: %d MiB before, %d MiB after; without garbage %.1f MiB before, %.1f MiB after, and %.1f MiB after all of it again", before, after, live, once, again)
	if after > before+150 || once > live+8 || again > once+2 {
		t.Errorf("from %d to %d MiB, and without garbage from %.1f to %.1f and %.1f MiB", before, after, live, once, again)
	}
	literal := strings.Builder{}
	for i := range 100 {
		fmt.Fprintf(&literal, `{name: "t%d", type: "util.noop", inputs: [%s]} `, i, map[bool]string{true: fmt.Sprintf(`"t%d"`, i-1)}[i > 0])
	}
	answer, err := tenant.Operator.GraphQL(t.Context(), fmt.Sprintf(
		`mutation { createScheduledJob(instanceId: %q, frequencyType: MANUAL, workflow: {tasks: [%s]}) { id } }`, tenant.Instance, literal.String()), nil)
	if err != nil || strings.Contains(string(answer.Body), `"errors"`) {
		t.Errorf("a workflow of 100 tasks: %v %s", err, answer.Body)
	}
}
