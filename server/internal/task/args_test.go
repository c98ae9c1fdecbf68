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
		"b": true, "n": 42.0, "d": "1m30s", "seconds": 1.5, "id": 7.0, "res": "res_7",
		"any": []any{1.0}, "null": nil,
	})
	got := []any{
		r.String("s"), r.Strings("list"), r.Strings("one"), r.StringMap("map"), r.Bool("b"), r.Int("n"),
		r.Duration("d", 0, time.Hour), r.Duration("seconds", 0, time.Hour), r.ID("id"), r.ID("res"),
		r.Any("any"), r.String("null"), r.String("absent"), r.Duration("absent", time.Second, time.Hour),
		r.Has("null"), r.Has("s"),
	}
	want := []any{
		"text", []string{"a", "b"}, []string{"a"}, map[string]string{"k": "v"}, true, int64(42),
		90 * time.Second, 1500 * time.Millisecond, "7", "res_7", []any{1.0}, "", "", time.Duration(0), false, true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if err := r.Done(); err != nil {
		t.Errorf("Done: %v", err)
	}
}

func TestReaderRefusesDurations(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		value any
		want  string
	}{
		"text": {"soon", "d WRONG_TYPE"}, "digits": {"5", "d WRONG_TYPE"}, "boolean": {true, "d WRONG_TYPE"},
		"negative": {-1.0, "d OUT_OF_RANGE"}, "huge": {1e300, "d OUT_OF_RANGE"}, "hugely negative": {-1e300, "d OUT_OF_RANGE"},
		"NaN": {math.NaN(), "d WRONG_TYPE"}, "too long": {"61m", "d OUT_OF_RANGE"},
	} {
		r := task.Read(task.Args{"d": test.value})
		r.Duration("d", 0, time.Hour)
		if diff := cmp.Diff([]string{test.want}, violations(t, r.Done())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
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
