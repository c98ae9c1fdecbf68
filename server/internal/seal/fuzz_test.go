package seal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// FuzzKeysetFile: whatever lies where the keyset should, the error names the file
// and quotes nothing of it.
func FuzzKeysetFile(f *testing.F) {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		f.Fatal(err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		f.Fatal(err)
	}
	f.Add(text.String())
	f.Add(strings.Replace(text.String(), "SYMMETRIC", "REMOTE", 1))
	for _, seed := range []string{"", "{}", `{"encryptedKeyset":"AA=="}`, `{"encryptedKeyset":null}`, `{"primaryKeyId":1,"key":[]}`, `{"primaryKeyId":1,"key":[{"keyId":1,"status":"ENABLED"}]}`, "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		source := Source{Path: "/keys/keyset.json"}
		handle, err := source.parse(t.Context(), []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), `keyset "/keys/keyset.json" is `) || len(err.Error()) > 200 {
				t.Errorf("the error is %v", err)
			}
			return
		}
		// What can be read can be used or is refused, too.
		_, _ = newKeyring(source, content{handle: handle})
	})
}
