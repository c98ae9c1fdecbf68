package mask_test

import (
	"testing"

	"github.com/pointscene/carillon/server/internal/mask"
)

func TestMaskLeavesTheRest(t *testing.T) {
	t.Parallel()
	m := mask.Mask{}.With("abc", "", "abcdef", "defghi")
	for text, want := range map[string]string{
		"abc stays, it is too short": "abc stays, it is too short",
		"x abcdefghi y":              "x [masked] y", // the two overlap
		"abcdefabcdef":               "[masked]",
		"":                           "",
	} {
		if got := m.Text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestPartsOfASecretAreSecret(t *testing.T) {
	t.Parallel()
	m := mask.Mask{}.With(
		`{"access_token":"ya29.access","refresh_token":"1//refresh","token_type":"bearer"}`,
		"-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----",
	)
	got := m.Text("bearer ya29.access 1//refresh MIIEvQIBADANBgkq")
	if want := "bearer [masked] [masked] [masked]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain é 😀": "plain é 😀", "a\r\nb": `a\r\nb`, "\x1b[2J\x7f\u0085": `\x1b[2J\x7f\u0085`, "\u202egnp\u2028": `\u202egnp\u2028`,
	} {
		if got := mask.Visible(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
