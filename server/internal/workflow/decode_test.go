package workflow_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/workflow"
)

// FuzzDecode: what is read by hand is what the standard library reads.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"name":"a","tasks":[{"name":"only","type":"util.noop"}]}`,
		` { "a" : [ 1 , -2.50, 0, -0, 1e3, 01, 1., .5, - ] , "b" : { } , "c":[], "d":[true,false,null,tru] } `,
		"{\"a\":\"\\u00e9\\n\",\"b\":\"\u00e9\",\"c\":\"\x7f\"}", `{"a":1,"a":{"b":2}}`, `{"a":1,}`, `[1,]`, `{"a"}`, `"`, `""x`, ``, ` `, "\x00", "{}\x00", `nul`,
		`123456789012345678901234567890`, `1` + strings.Repeat("0", 400), strings.Repeat("[", 200) + strings.Repeat("]", 200), `{"a":"b`, `{"a":1 "b":2}`, `[1 2]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want any
		wantErr := json.Unmarshal(text, &want)
		got, err := workflow.Decode(text)
		if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v; want %#v, %v", text, got, err, want, wantErr)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	text := []byte(`{"name":"bench","tasks":[{"name":"only","type":"util.noop"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := workflow.Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}
