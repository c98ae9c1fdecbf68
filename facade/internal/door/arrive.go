package door

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pointscene/carillon/internal/places"
)

const (
	// lateAfter is when a body that has not come whole counts as late. How long
	// it may take at most is the server's to say.
	lateAfter = 3 * time.Second
	// maxLate and maxLateOfOne are how many late bodies there may be, of all
	// callers and of one address: each may hold MaxBody.
	maxLate, maxLateOfOne = 256, 32
)

func newLate() *places.Places[string] { return places.New[string](maxLate, maxLateOfOne) }

// arriving is a body on its way. Who sends many of them slowly is not read any
// further.
type arriving struct {
	io.ReadCloser
	control *http.ResponseController
	places  *places.Places[string]
	client  string

	mu    sync.Mutex
	timer *time.Timer
	leave func()
	over  bool
}

// arrives watches r's body until the returned function is called.
func arrives(w http.ResponseWriter, r *http.Request, late *places.Places[string]) (end func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	a := &arriving{ReadCloser: r.Body, control: http.NewResponseController(w), places: late, client: clientOf(r.Context())}
	a.timer = time.AfterFunc(lateAfter, a.late)
	r.Body = a
	return a.end
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil {
		a.end()
	}
	return n, err
}

func (a *arriving) late() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over { // the connection may serve another request by now
		return
	}
	leave, ok := a.places.Take(a.client)
	if !ok {
		_ = a.control.SetReadDeadline(time.Now()) // a recorder in a test has none
		return
	}
	a.leave = leave
}

func (a *arriving) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.timer.Stop()
	if a.leave != nil {
		a.leave()
	}
}
