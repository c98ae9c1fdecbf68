package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pointscene/carillon/facade/internal/strictjson"
)

const maxDepth = 10

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, ` true `, "\t\r\nfalse\n", `""`, `{}`, `[]`, `[ ]`, `{ }`, `0`, `-0`, `-0.0`, `1e5`, `1E+5`, `1e-5`,
		`{"a":1,"A":1,"á":1}`, `[{"a":1},{"a":1}]`, `{"a":{"a":{"a":1}}}`,
		`9007199254740991`, `-9007199254740991`, `9007199254740991.0`, `9007199254740990.5`, `999999999999999`,
		`1.7976931348623157e308`, `-1.7976931348623157e308`, `1e21`, `1.5e300`, `5e-324`, `1e-400`, `0e999999999999`,
		`"\"\\\/\b\f\n\r\tA\u00e9\uFFFF"`, `"\ud83d\ude00"`, `"\uD83D\uDE00"`, "\"é😀\uFFFD\u007f\"",
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
		strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth),
		manyKeys(1000, ""),
	} {
		if err := strictjson.Check([]byte(text), maxDepth); err != nil {
			t.Errorf("%.80s: %v", text, err)
		}
		checkDecoders(t, []byte(text))
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	tests := []struct{ text, path, reason string }{
		{`{"a":1,"a":2}`, "a", "DUPLICATE_KEY"},
		{`{"a":1,"\u0061":2}`, "a", "DUPLICATE_KEY"},
		{`{"\ud83d\ude00":1,"😀":2}`, `["😀"]`, "DUPLICATE_KEY"},
		{`{"":1,"":2}`, `[""]`, "DUPLICATE_KEY"},
		{`{"workflow":{"tasks":[{"args":{"n":1}},{"args":{"n":1,"m":2,"n":3}}]}}`, "workflow.tasks[1].args.n", "DUPLICATE_KEY"},
		{manyKeys(1000, `,"k7":0`), "k7", "DUPLICATE_KEY"},
		{manyKeys(1000, `,"k999":0`), "k999", "DUPLICATE_KEY"},
		{manyKeys(16, `,"k3":0`), "k3", "DUPLICATE_KEY"},

		{`{"workflow":{"tasks":[{"args":{"n":9007199254740992}}]}}`, "workflow.tasks[0].args.n", "NUMBER_RANGE"},
		{`-9007199254740992`, "", "NUMBER_RANGE"},
		{`9007199254740993.0`, "", "NUMBER_RANGE"},
		{`9.007199254740993e15`, "", "NUMBER_RANGE"},
		{`9007199254740991.7`, "", "NUMBER_RANGE"},
		{`1` + strings.Repeat("0", 30), "", "NUMBER_RANGE"},
		{`1` + strings.Repeat("0", 400), "", "NUMBER_RANGE"},
		{`[0,1e309]`, "[1]", "NUMBER_RANGE"},
		{`-1e309`, "", "NUMBER_RANGE"},
		{`1.8e308`, "", "NUMBER_RANGE"},

		{"{\"a\":\"\xff\"}", "a", "INVALID_TEXT"},
		{"{\"a\":\"\xed\xa0\x80\"}", "a", "INVALID_TEXT"},
		{"{\"a\":\"\xc0\x80\"}", "a", "INVALID_TEXT"},
		{"{\"a\":{\"\xff\":1}}", "a", "INVALID_TEXT"},
		{"{\"a\":\"x\x00\"}", "a", "INVALID_TEXT"},
		{"\x00", "", "INVALID_TEXT"},
		{"{}\x00", "", "INVALID_TEXT"},
		{"\xff", "", "INVALID_TEXT"},
		{`{"a":"\u0000"}`, "a", "INVALID_TEXT"},
		{`{"a":1,"\u0000":1}`, "", "INVALID_TEXT"},
		{`{"a":["\ud83d"]}`, "a[0]", "INVALID_TEXT"},
		{`"\ude00"`, "", "INVALID_TEXT"},
		{`"\ude00\ud83d"`, "", "INVALID_TEXT"},
		{`"\ud83d\u0041"`, "", "INVALID_TEXT"},
		{`"\ud83dx"`, "", "INVALID_TEXT"},
		{`"\ud83d\n"`, "", "INVALID_TEXT"},
		{`{"a.b":{"c d":"\ud83d"}}`, `["a.b"]["c d"]`, "INVALID_TEXT"},

		{deep, strings.Repeat("[0]", maxDepth), "TOO_DEEP"},
		{strings.Repeat(`{"a":`, maxDepth+1), "a" + strings.Repeat(".a", maxDepth-1), "TOO_DEEP"},
		{strings.Repeat(`[`, 1_000_000), strings.Repeat("[0]", maxDepth), "TOO_DEEP"},

		{``, "", "MALFORMED_JSON"},
		{` `, "", "MALFORMED_JSON"},
		{`{} {}`, "", "MALFORMED_JSON"},
		{`{}x`, "", "MALFORMED_JSON"},
		{`1 2`, "", "MALFORMED_JSON"},
		{"\ufeff{}", "", "MALFORMED_JSON"},
		{`{"a":1,}`, "", "MALFORMED_JSON"},
		{`{"a"}`, "a", "MALFORMED_JSON"},
		{`{"a":}`, "a", "MALFORMED_JSON"},
		{`{"a":1 "b":2}`, "", "MALFORMED_JSON"},
		{`{a:1}`, "", "MALFORMED_JSON"},
		{`{'a':1}`, "", "MALFORMED_JSON"},
		{`{1:1}`, "", "MALFORMED_JSON"},
		{`{`, "", "MALFORMED_JSON"},
		{`{"a`, "", "MALFORMED_JSON"},
		{`{"a":"b`, "a", "MALFORMED_JSON"},
		{`[1,]`, "[1]", "MALFORMED_JSON"},
		{`[1 2]`, "[0]", "MALFORMED_JSON"},
		{`[`, "[0]", "MALFORMED_JSON"},
		{`]`, "", "MALFORMED_JSON"},
		{`[}`, "[0]", "MALFORMED_JSON"},
		{`01`, "", "MALFORMED_JSON"},
		{`-`, "", "MALFORMED_JSON"},
		{`+1`, "", "MALFORMED_JSON"},
		{`.5`, "", "MALFORMED_JSON"},
		{`1.`, "", "MALFORMED_JSON"},
		{`1e`, "", "MALFORMED_JSON"},
		{`1e+`, "", "MALFORMED_JSON"},
		{`1e+-5`, "", "MALFORMED_JSON"},
		{`0x10`, "", "MALFORMED_JSON"},
		{`NaN`, "", "MALFORMED_JSON"},
		{`Infinity`, "", "MALFORMED_JSON"},
		{`nul`, "", "MALFORMED_JSON"},
		{`nullx`, "", "MALFORMED_JSON"},
		{`True`, "", "MALFORMED_JSON"},
		{`"\x41"`, "", "MALFORMED_JSON"},
		{`"\u00g0"`, "", "MALFORMED_JSON"},
		{`"\u00`, "", "MALFORMED_JSON"},
		{"\"\\u00\x10\x11\"", "", "MALFORMED_JSON"},
		{`"\`, "", "MALFORMED_JSON"},
		{"\"a\nb\"", "", "MALFORMED_JSON"},
		{"\"a\x1f\"", "", "MALFORMED_JSON"},
		{"[1\f]", "[0]", "MALFORMED_JSON"},
		{"// x\n1", "", "MALFORMED_JSON"},
	}
	for _, test := range tests {
		err := strictjson.Check([]byte(test.text), maxDepth)
		var refused *strictjson.Error
		if !errors.As(err, &refused) {
			t.Errorf("%.80q: %v, want a refusal", test.text, err)
			continue
		}
		if refused.Path != test.path || refused.Reason != test.reason {
			t.Errorf("%.80q: %s at %q (%s), want %s at %q", test.text, refused.Reason, refused.Path, refused.Message, test.reason, test.path)
		}
	}
}

func TestErrorHoldsNoValues(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"token":"hunter2`, `{"token":"hunter2\ud83d"}`, `{"token":hunter2}`, `{"token":"hunter2","token":"hunter2"}`,
		`{"token":"hunter2" hunter2}`, "{\"token\":\"hunter2\xff\"}", `{"token":"hunter2"}hunter2`,
	} {
		err := strictjson.Check([]byte(text), maxDepth)
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %v", text, err)
		}
	}
	long := `{"` + strings.Repeat("é", 100_000) + `":nul}`
	if err := strictjson.Check([]byte(long), maxDepth); err == nil || len(err.Error()) > 200 || !utf8.ValidString(err.Error()) {
		t.Errorf("a long key makes an error of %d bytes", len(err.Error()))
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"workflow":{"tasks":[{"name":"a","args":{"n":[1,-2.5e3,true,null,"\ud83d\ude00"]}}]}}`,
		`{"a":1,"\u0061":2}`, `9007199254740993`, `1e309`, `"\ud83d"`, "\"\xff\"", `[1,]`, `{}{}`, "[[[[[[[[[[[]]]]]]]]]]]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		err := strictjson.Check(raw, maxDepth)
		if err == nil {
			checkDecoders(t, raw)
			return
		}
		var refused *strictjson.Error
		if !errors.As(err, &refused) || refused.Reason == "" || refused.Message == "" {
			t.Fatalf("%q: %#v", raw, err)
		}
		if refused.Reason == strictjson.ReasonMalformed && json.Valid(raw) {
			t.Errorf("%q is valid JSON, but: %v", raw, err)
		}
		if !utf8.ValidString(err.Error()) {
			t.Errorf("error is not valid UTF-8: %q", err)
		}
	})
}

// checkDecoders fails unless both decoders accept raw and read the same.
func checkDecoders(t *testing.T, raw []byte) {
	t.Helper()
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", raw, err)
	}
	var proto structpb.Value
	if err := protojson.Unmarshal(raw, &proto); err != nil {
		t.Fatalf("protojson refuses %q: %v", raw, err)
	}
	got, want := fmt.Sprintf("%#v", proto.AsInterface()), fmt.Sprintf("%#v", plain)
	if got != want {
		t.Errorf("protojson reads %s, encoding/json %s", got, want)
	}
}

func manyKeys(n int, more string) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return "{" + strings.Join(keys, ",") + more + "}"
}

func BenchmarkCheck(b *testing.B) {
	small := []byte(`{"name":"nightly","frequencyType":"CRON_BASED","cronExpression":"0 3 * * *","workflow":{"instanceId":"42","tasks":[{"name":"input","type":"resource.input","args":{"id":"7","exclude":["sync/**"]}},{"name":"sync","type":"rclone.sync","args":{"id":"7","remotes":["drive:/a","s3:/b"]},"inputs":["input"]}]}}`)
	large := []byte(manyKeys(60_000, ""))
	for name, raw := range map[string][]byte{"small": small, "1 MiB of keys": large} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if err := strictjson.Check(raw, strictjson.DefaultMaxDepth); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
