package executionlog

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/mask"
)

// secrets are values that the encodings treat differently.
var secrets = []string{
	"abcd",
	"plainSecret123",
	`quo"te\back`,
	"a/b+c=d&e f",
	"<tag>&amp",
	"zwölf€😀",
	"line1\nline2\ttab",
	"12345678",
	"nested{\"a\":1}",
}

// encodings are ways in which a secret gets into a line.
var encodings = map[string]func(string) string{
	"raw":         func(s string) string { return s },
	"json":        func(s string) string { b, _ := json.Marshal(map[string]string{"k": s}); return string(b) },
	"quoted":      func(s string) string { return fmt.Sprintf("%q", s) },
	"query":       url.QueryEscape,
	"query lower": func(s string) string { return strings.ToLower(url.QueryEscape(s)) },
	"path":        url.PathEscape,
	"url":         func(s string) string { return (&url.URL{Scheme: "https", Host: "h", Path: "/" + s}).EscapedPath() },
	"hex":         func(s string) string { return hex.EncodeToString([]byte(s)) },
	"base64":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 1":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u" + s)) },
	"basic auth":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("user2:" + s + ":")) },
	"base64 in a URL": func(s string) string {
		return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("~~" + s)))
	},
	"base64 2":   func(s string) string { return base64.URLEncoding.EncodeToString([]byte("?>" + s)) },
	"base64 url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("u:" + s)) },
}

func TestMaskHidesEveryForm(t *testing.T) {
	t.Parallel()
	for _, secret := range secrets {
		m := mask.Mask{}.With(secret)
		for name, encode := range encodings {
			if name == "query lower" && strings.ToLower(secret) != secret {
				continue // another text than the secret
			}
			text := encode(secret)
			if got := m.Text("before " + text + " after"); !strings.Contains(got, mask.Replacement) ||
				!strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("%s of %q: %q stays %q", name, secret, text, got)
			}
			line := logged(t, []string{secret}, func(log *slog.Logger) {
				log.With("with", text).WithGroup("group").Info(text, "attribute", text, "error", fmt.Errorf("at %s", text),
					"any", map[string]any{"deep": []string{text}}, text, "as key")
			})
			if !json.Valid([]byte(line)) {
				t.Errorf("%s of %q: no JSON: %s", name, secret, line)
			}
			if n := strings.Count(line, mask.Replacement); n < 6 {
				t.Errorf("%s of %q: %d of 6 are masked: %s", name, secret, n, line)
			}
		}
	}
}

// logged returns the text of a log with secrets that were told before, or,
// for loggers made earlier, after.
func logged(t *testing.T, secrets []string, write func(*slog.Logger)) string {
	t.Helper()
	store := replicas(1, Options{})[0]
	w := store.Writer(ref, 1)
	w.Mask(secrets...)
	write(slog.New(w.Handler()))
	mustClose(t, w)
	return strings.TrimSuffix(download(t, store), "\n")
}

func TestMaskCoversAttributesThatWereGivenBefore(t *testing.T) {
	t.Parallel()
	store := replicas(1, Options{})[0]
	w := store.Writer(ref, 1)
	log := slog.New(w.Handler()).With("token", "late-secret")
	w.Mask("late-secret")
	log.Info("hello")
	mustClose(t, w)
	if text := download(t, store); strings.Contains(text, "late-secret") {
		t.Error(text)
	}
}

func TestMaskOfNumbersAndDates(t *testing.T) {
	t.Parallel()
	line := logged(t, []string{"2026", "1234", "true", "INFO", "time"}, func(log *slog.Logger) {
		log.Info("x", "n", 91234.5, "flag", true)
	})
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if fields["n"] != mask.Replacement || fields["flag"] != mask.Replacement || fields["level"] != "INFO" {
		t.Errorf("got %v", fields)
	}
	if parseLine([]byte(line)).Time.IsZero() {
		t.Errorf("the time is lost: %s", line)
	}
}

// A line with any secrets in any place stays one line of JSON, with no form of
// a secret inside a text of it.
func FuzzMaskedLine(f *testing.F) {
	for i, secret := range secrets {
		f.Add(secret, secrets[(i+1)%len(secrets)], secret+"x"+secret, int64(i))
	}
	f.Add(`\`, "nabc", "\nabc", int64(1))
	f.Add(`u00e9`, "0001", "\x01\u2028", int64(10001))
	f.Fuzz(func(t *testing.T, one, two, text string, number int64) {
		line := logged(t, []string{one, two}, func(log *slog.Logger) {
			log.Info(text, text, text, "number", number, "any", []any{text, number})
		})
		if !json.Valid([]byte(line)) || strings.Contains(line, "\n") {
			t.Fatalf("no line of JSON: %q", line)
		}
		message := parseLine([]byte(line)).Message
		for _, secret := range []string{one, two} {
			if len(secret) >= 4 && !strings.Contains(mask.Replacement, secret) &&
				strings.Contains(strings.ReplaceAll(message, mask.Replacement, "\x00"), secret) && !strings.Contains(secret, "\x00") {
				t.Fatalf("%q is left in %q", secret, message)
			}
		}
	})
}
