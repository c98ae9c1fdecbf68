package remote

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// masked stands where a secret stood.
const masked = "***"

// shortestSecret is the length from which a secret is masked; masking shorter
// ones would destroy the text and hide nothing.
const shortestSecret = 4

// queryRE finds the query of a URL, which may be a signature.
var queryRE = regexp.MustCompile(`(https?://[^\s?"']+)\?[^\s"'<>]+`)

// masker takes secrets out of texts that leave a session. It is safe for
// concurrent use.
type masker struct {
	mu       sync.RWMutex
	variants []string
	replacer *strings.Replacer
}

// add hides a secret from now on, as it is and in the encodings that errors
// and URLs use. The parts of a token are hidden one by one.
func (m *masker) add(secret string) {
	var parts map[string]any
	if json.Unmarshal([]byte(secret), &parts) == nil {
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			if part, ok := parts[name].(string); ok {
				m.add(part)
			}
		}
		return
	}
	if len(secret) < shortestSecret {
		return
	}
	quoted, _ := json.Marshal(secret)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, variant := range []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
	} {
		m.variants = append(m.variants, variant, masked)
	}
	m.replacer = strings.NewReplacer(m.variants...)
}

// text returns s without secrets.
func (m *masker) text(s string) string {
	m.mu.RLock()
	replacer := m.replacer
	m.mu.RUnlock()
	if replacer != nil {
		s = replacer.Replace(s)
	}
	return queryRE.ReplaceAllString(s, "$1?"+masked)
}
