package workflow_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/workflow"
)

const plain = `{"name":"bench","tasks":[{"name":"only","type":"util.noop"}]}`

// readLong reads a workflow the long way.
func readLong(text []byte) (*workflow.Workflow, error) {
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("the stored workflow can't be read: %w", err)
	}
	object, _ := doc.(map[string]any)
	return workflow.Parse(object)
}

// FuzzRead: what is read by hand is what the long way reads, and refused in its
// words.
func FuzzRead(f *testing.F) {
	task := func(rest string) string {
		return `{"name":"n","tasks":[{"name":"a","type":"t"},{"name":"b","type":"t",` + rest + `}]}`
	}
	nested := func(depth int) string {
		return task(`"args":` + strings.Repeat(`{"k":`, depth) + `1` + strings.Repeat("}", depth))
	}
	for _, text := range []string{
		plain, ` { "tasks" : [ { "type" : "t" , "name" : "a" } ] , "instanceId" : 42 } `, plain + "x", plain + "\x00", `{"tasks":[]}`, `[]`, `"x"`, `{`, ``, "\x00", `{"tasks":[{"name":"","type":"t"}]}`,
		`{"name":1,"tasks":[{"name":"a","type":"t"}]}`, `{"name":null,"tasks":[{"name":"a","type":"t"}]}`, `{"instanceId":"","tasks":[{"name":"a","type":"t"}]}`, `{"instanceId":"inst_1","tasks":[{"name":"a","type":"t"}]}`,
		`{"tasks":[{"name":"a"}],"tasks":[{"name":"a","type":"t"}]}`, `{"tasks":[{"name":"a","type":"t"},{"name":"b","type":"t"}],"tasks":[{"name":"a","type":"t"}]}`, `{"tasks":[{"name":"a","type":"t"}],"tasks":null}`, `{"Tasks":[],"tasks":[{"name":"a","type":"t"}]}`,
		task(`"args":{"a":[1,-2.50,0,-0,true,false,null,{"b":{}},[]],"a":"last"}`), task(`"args":{"a":1e3}`), task(`"args":{"a":01}`), task(`"args":{"a":1.}`), task(`"args":{"a":-}`), task(`"args":{"a":tru}`), task(`"args":{"a":1,}`), task(`"args":{"a"}`), task(`"args":{"a":1 "b":2}`),
		task(`"args":[]`), task(`"args":null`), task(`"args":{},"args":null`), task(`"args":{"a":9007199254740991}`), task(`"args":{"a":9007199254740992}`), task(`"args":{"a":-1000000000000000000000}`), task(`"args":{"a":1` + strings.Repeat("0", 400) + `}`),
		task(`"args":{"a":"\u00e9\n"}`), task("\"args\":{\"a\":\"\u00e9\"}"), task("\"args\":{\"a\":\"\x7f\xff\"}"), task(`"args":{"\u0000":1}`), nested(96), nested(97), nested(98),
		task(`"inputs":"a"`), task(`"inputs":["a"]`), task(`"inputs":["b"]`), task(`"inputs":"b"`), task(`"inputs":["a","a"]`), task(`"inputs":["x",1,""]`), task(`"inputs":[]`), task(`"inputs":null`), task(`"inputs":{}`), task(`"inputs":"x","inputs":"a"`),
		task(`"timeout":"5m"`), task(`"timeout":90`), task(`"timeout":"soon"`), task(`"timeout":"soon","timeout":"5m"`), task(`"timeout":null`), task(`"retry":{"maxAttempts":3,"minBackoff":"1s"}`), task(`"retry":{"maxAttempts":99}`), task(`"retry":null`),
		task(`"name":"a"`), task(`"name":""`), task(`"type":""`), task(`"name":"` + strings.Repeat("n", workflow.MaxNameBytes) + `"`), task(`"name":"` + strings.Repeat("n", workflow.MaxNameBytes+1) + `"`), task(`"more":1`),
		`{"tasks":[` + strings.Repeat(`{"name":"a","type":"t"},`, workflow.MaxTasks) + `{"name":"a","type":"t"}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want, wantErr := readLong(text)
		got, err := workflow.Read(text)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v, %v", text, got, err, want, wantErr)
		}
	})
}

// TestReadIsShort: usual workflows don't go the long way.
func TestReadIsShort(t *testing.T) {
	for _, text := range []string{
		plain,
		`{"name":"n","instanceId":"inst_1","tasks":[{"name":"a","type":"t","args":{"id":"res_7","remotes":["x:/"]}},{"name":"b","type":"t","inputs":["a"],"timeout":"5m"}]}`,
	} {
		short := testing.AllocsPerRun(100, func() { _, _ = workflow.Read([]byte(text)) })
		long := testing.AllocsPerRun(100, func() { _, _ = readLong([]byte(text)) })
		if short > long/2 {
			t.Errorf("%s: %v allocations, %v the long way", text, short, long)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for name, text := range map[string]string{
		"one task": plain,
		"args":     `{"name":"n","tasks":[{"name":"a","type":"web.get","args":{"url":"https://example.com/x","expect":200}}]}`,
		"retry":    `{"name":"n","tasks":[{"name":"a","type":"t","timeout":"5m","retry":{"maxAttempts":3}},{"name":"b","type":"t","inputs":["a"]}]}`,
		"long way": `{"name":"é","tasks":[{"name":"only","type":"util.noop"}]}`,
	} {
		b.Run(name, func(b *testing.B) {
			text := []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := workflow.Read(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
