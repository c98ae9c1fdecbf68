package remote

import (
	"regexp"
	"sync"

	"github.com/pointscene/carillon/server/internal/mask"
)

// queryRE finds the query of a URL, which may be a signature.
var queryRE = regexp.MustCompile(`(https?://[^\s?"']+)\?[^\s"'<>]+`)

// masker takes secrets out of texts that leave a session. It is safe for
// concurrent use.
type masker struct {
	mu    sync.RWMutex
	known mask.Mask
}

// add hides a secret from now on.
func (m *masker) add(secret string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = m.known.With(secret)
}

// text returns s without secrets.
func (m *masker) text(s string) string {
	m.mu.RLock()
	known := m.known
	m.mu.RUnlock()
	return queryRE.ReplaceAllString(known.Text(s), "$1?"+mask.Replacement)
}
