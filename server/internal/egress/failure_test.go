package egress

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-5": 0, "1.5": 0, "soon": 0, "Sun, 22 Nov 2026 12:01:00 GMT": time.Minute,
		"Sun, 22 Nov 2026 11:59:00 GMT": 0, "99999999999999999999999": 9223372036 * time.Second,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func TestUnexpectedStatusTellsThePause(t *testing.T) {
	t.Parallel()
	f := UnexpectedStatus("GET http://a", 429, http.Header{"Retry-After": {"7"}}, "2xx")
	if f.Code != "RESOURCE_EXHAUSTED" || f.RetryAfter != 7*time.Second || f.Message != "GET http://a: answered 429, expected 2xx" {
		t.Errorf("%+v", f)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "120", "-1", "Sun, 22 Nov 2026 12:01:00 GMT", "99999999999999999999", "١٢"} {
		f.Add(seed)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text, now); d < 0 {
			t.Errorf("%q is %s", text, d)
		}
	})
}
