package seal

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that does not show when it is printed, logged or encoded,
// not even as a field of a struct that is.
//
// The string lies behind a pointer because fmt can't call the methods of an
// unexported field: it would print a plain string there, but prints a nested
// pointer as an address. Two Secrets are therefore not to be compared with ==.
type Secret struct{ value *string }

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns the string itself; for the one line that has to send, hash or
// seal it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String returns "[redacted]", as every other form of the value does.
func (s Secret) String() string { return redacted }

// GoString is the form for %#v.
func (s Secret) GoString() string { return redacted }

// Format is the form for every verb, %x and %q included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON is the form in JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText is the form in text encodings and as a JSON object's key.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue is the form in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
