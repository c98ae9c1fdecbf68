//go:build race

package remote

import (
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/rclone/rclone/fs/fshttp"
)

const raceDetector = true

// Sessions and other users of the standard transport may begin side by side.
// Only the first use in a process tells, so this one has a process to itself.
func TestFirstUseOfTheTransport(t *testing.T) {
	t.Parallel()
	const alone = "CARILLON_TEST_FIRST_USE"
	if os.Getenv(alone) == "" {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFirstUseOfTheTransport$")
		command.Env = append(os.Environ(), alone+"=1")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	setup()
	var using sync.WaitGroup
	for range 4 {
		using.Go(func() { fshttp.NewTransportCustom(t.Context(), nil) })
		using.Go(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	}
	using.Wait()
}

func init() { farewell, patience = 4*farewell, 4*patience }
