package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/seal"
)

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	const canary = "canary-c0ffee"
	secret := seal.NewSecret(canary)
	type inner struct{ secret seal.Secret }
	values := map[string]any{
		"secret":            secret,
		"pointer":           &secret,
		"exported field":    struct{ S seal.Secret }{secret},
		"unexported field":  inner{secret},
		"nested unexported": struct{ in inner }{inner{secret}},
		"slice":             []seal.Secret{secret},
		"map":               map[string]seal.Secret{"k": secret},
		"any":               []any{secret, inner{secret}},
		"error":             fmt.Errorf("with %v: %w", secret, errors.New("cause")),
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "% x"} {
			if printed := fmt.Sprintf(verb, value); shows(printed, canary) {
				t.Errorf("%s of %s: %s", verb, name, printed)
			}
		}
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("text", "value", value)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("json", "value", value)
		if shows(logged.String(), canary) {
			t.Errorf("%s in a log: %s", name, logged.String())
		}
		encoded, err := json.Marshal(value)
		if err != nil || shows(string(encoded), canary) {
			t.Errorf("%s in JSON: %s, %v", name, encoded, err)
		}
	}
	encoded, err := json.Marshal(map[seal.Secret]int{secret: 1})
	if err != nil || shows(string(encoded), canary) {
		t.Errorf("as a key in JSON: %s, %v", encoded, err)
	}
	if secret.String() != "[redacted]" || secret.GoString() != "[redacted]" {
		t.Errorf("String %q, GoString %q", secret.String(), secret.GoString())
	}
}

// shows looks for the canary as text and as fmt's hexadecimal bytes.
func shows(printed, canary string) bool {
	lower := strings.ToLower(printed)
	return strings.Contains(lower, canary) || strings.Contains(lower, fmt.Sprintf("%x", canary)) ||
		strings.Contains(lower, fmt.Sprintf("% x", canary))
}

func TestSecretReveal(t *testing.T) {
	t.Parallel()
	if got := seal.NewSecret("open").Reveal(); got != "open" {
		t.Errorf("Reveal = %q", got)
	}
	if got := (seal.Secret{}).Reveal(); got != "" {
		t.Errorf("the zero Secret reveals %q", got)
	}
}
