package task_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

func violations(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *job.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error is %T, want *job.InvalidError: %v", err, err)
	}
	var out []string
	for _, v := range invalid.Violations {
		out = append(out, v.Field+" "+v.Reason)
	}
	return out
}

func TestReaderReturnsWhatIsThere(t *testing.T) {
	t.Parallel()
	r := task.Read(task.Args{
		"s": "text", "list": []any{"a", "b"}, "one": "a", "map": map[string]any{"k": "v"},
		"b": true, "n": 42.0, "d": "1m30s", "seconds": 1.5, "id": 7.0, "res": "res_7", "mode": "copy",
		"any": []any{1.0}, "null": nil,
	})
	got := []any{
		r.String("s", task.Required), r.Strings("list", task.Required), r.Strings("one", task.Required),
		r.StringMap("map", task.Required), r.Bool("b", task.Required), r.Int("n", task.Required, 0, 100),
		r.Duration("d", task.Required, 0, time.Hour), r.Duration("seconds", task.Required, 0, time.Hour),
		r.ID("id", task.Required), r.ID("res", task.Required), r.OneOf("mode", task.Optional, "mirror", "copy"),
		r.Any("any", task.Required), r.String("null", task.Optional), r.OneOf("absent", task.Optional, "x"),
		r.Has("null"), r.Has("s"),
	}
	want := []any{
		"text", []string{"a", "b"}, []string{"a"}, map[string]string{"k": "v"}, true, int64(42),
		90 * time.Second, 1500 * time.Millisecond, "7", "res_7", "copy", []any{1.0}, "", "", false, true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if err := r.Done(); err != nil {
		t.Errorf("Done: %v", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args task.Args
		read func(*task.Reader)
		want []string
	}{
		{"nothing asked, nothing given", nil, func(*task.Reader) {}, nil},
		{"unknown", task.Args{"b": 1.0, "a.c": 1.0}, func(*task.Reader) {}, []string{`["a.c"] UNKNOWN_FIELD`, "b UNKNOWN_FIELD"}},
		{"has counts as asking", task.Args{"a": nil, "b": 1.0}, func(r *task.Reader) { r.Has("a"); r.Has("b") }, nil},
		{"case matters", task.Args{"Url": "x"}, func(r *task.Reader) { r.String("url", task.Optional) }, []string{"Url UNKNOWN_FIELD"}},
		{"required string absent", nil, func(r *task.Reader) { r.String("s", task.Required) }, []string{"s REQUIRED"}},
		{"required string null", task.Args{"s": nil}, func(r *task.Reader) { r.String("s", task.Required) }, []string{"s REQUIRED"}},
		{"required string empty", task.Args{"s": ""}, func(r *task.Reader) { r.String("s", task.Required) }, []string{"s REQUIRED"}},
		{"string", task.Args{"s": 1.0}, func(r *task.Reader) { r.String("s", task.Optional) }, []string{"s WRONG_TYPE"}},
		{"one of", task.Args{"s": "x"}, func(r *task.Reader) { r.OneOf("s", task.Optional, "a") }, []string{"s INVALID_VALUE"}},
		{"one of, empty", task.Args{"s": ""}, func(r *task.Reader) { r.OneOf("s", task.Optional, "a") }, []string{"s INVALID_VALUE"}},
		{"one of, required and empty", task.Args{"s": ""}, func(r *task.Reader) { r.OneOf("s", task.Required, "a") }, []string{"s REQUIRED"}},
		{"one of, number", task.Args{"s": 1.0}, func(r *task.Reader) { r.OneOf("s", task.Optional, "a") }, []string{"s WRONG_TYPE"}},
		{"list element", task.Args{"l": []any{"a", 1.0}}, func(r *task.Reader) { r.Strings("l", task.Optional) }, []string{"l[1] WRONG_TYPE"}},
		{"list", task.Args{"l": true}, func(r *task.Reader) { r.Strings("l", task.Optional) }, []string{"l WRONG_TYPE"}},
		{"required list empty", task.Args{"l": []any{}}, func(r *task.Reader) { r.Strings("l", task.Required) }, []string{"l REQUIRED"}},
		{"map value", task.Args{"m": map[string]any{"x-y": 1.0}}, func(r *task.Reader) { r.StringMap("m", task.Optional) }, []string{"m.x-y WRONG_TYPE"}},
		{"map", task.Args{"m": "x"}, func(r *task.Reader) { r.StringMap("m", task.Optional) }, []string{"m WRONG_TYPE"}},
		{"bool", task.Args{"b": "true"}, func(r *task.Reader) { r.Bool("b", task.Optional) }, []string{"b WRONG_TYPE"}},
		{"int as text", task.Args{"n": "1"}, func(r *task.Reader) { r.Int("n", task.Optional, 0, 9) }, []string{"n WRONG_TYPE"}},
		{"fraction", task.Args{"n": 1.5}, func(r *task.Reader) { r.Int("n", task.Optional, 0, 9) }, []string{"n WRONG_TYPE"}},
		{"beyond 2^53", task.Args{"n": 1e300}, func(r *task.Reader) { r.Int("n", task.Optional, 0, 9) }, []string{"n WRONG_TYPE"}},
		{"NaN", task.Args{"n": math.NaN()}, func(r *task.Reader) { r.Int("n", task.Optional, 0, 9) }, []string{"n WRONG_TYPE"}},
		{"int above", task.Args{"n": 10.0}, func(r *task.Reader) { r.Int("n", task.Optional, 0, 9) }, []string{"n OUT_OF_RANGE"}},
		{"duration text", task.Args{"d": "soon"}, func(r *task.Reader) { r.Duration("d", task.Optional, 0, time.Hour) }, []string{"d WRONG_TYPE"}},
		{"duration negative", task.Args{"d": -1.0}, func(r *task.Reader) { r.Duration("d", task.Optional, 0, time.Hour) }, []string{"d OUT_OF_RANGE"}},
		{"duration huge", task.Args{"d": 1e300}, func(r *task.Reader) { r.Duration("d", task.Optional, 0, time.Hour) }, []string{"d OUT_OF_RANGE"}},
		{"duration hugely negative", task.Args{"d": -1e300}, func(r *task.Reader) { r.Duration("d", task.Optional, 0, time.Hour) }, []string{"d OUT_OF_RANGE"}},
		{"duration NaN", task.Args{"d": math.NaN()}, func(r *task.Reader) { r.Duration("d", task.Optional, 0, time.Hour) }, []string{"d WRONG_TYPE"}},
		{"id fraction", task.Args{"id": 1.5}, func(r *task.Reader) { r.ID("id", task.Optional) }, []string{"id WRONG_TYPE"}},
		{"id zero", task.Args{"id": 0.0}, func(r *task.Reader) { r.ID("id", task.Optional) }, []string{"id WRONG_TYPE"}},
		{"id empty", task.Args{"id": ""}, func(r *task.Reader) { r.ID("id", task.Required) }, []string{"id REQUIRED"}},
		{"all at once", task.Args{"x": 1.0, "s": 1.0}, func(r *task.Reader) { r.String("s", task.Required); r.Bool("b", task.Required) },
			[]string{"s WRONG_TYPE", "b REQUIRED", "x UNKNOWN_FIELD"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := task.Read(test.args)
			test.read(r)
			if diff := cmp.Diff(test.want, violations(t, r.Done())); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReaderNamesFewUnknownArguments(t *testing.T) {
	t.Parallel()
	args := task.Args{}
	for range 1000 {
		args[strings.Repeat("k", len(args)+1)] = true
	}
	err := task.Read(args).Done()
	if got := len(violations(t, err)); got != 10 {
		t.Errorf("%d violations, want 10", got)
	}
	if len(err.Error()) > 10_000 {
		t.Errorf("message of %d bytes", len(err.Error()))
	}
}

func TestField(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"url": "url", "X-Key_1": "X-Key_1", "": `[""]`, "a.b": `["a.b"]`, "a\nb": `["a\nb"]`,
		strings.Repeat("é", 40): `["` + strings.Repeat("é", 32) + `…"]`,
	} {
		if got := task.Field(key); got != want {
			t.Errorf("Field(%q) = %s, want %s", key, got, want)
		}
	}
}
