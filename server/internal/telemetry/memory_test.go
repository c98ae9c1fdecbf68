package telemetry

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The process's own setting is tried, so it has a process to itself.
func TestGarbageBesideMuchAlive(t *testing.T) {
	t.Parallel()
	const alone = "CARILLON_TEST_MEMORY"
	if os.Getenv(alone) == "" {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGarbageBesideMuchAlive$")
		command.Env = append(os.Environ(), alone+"=1", "GOGC=")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	TradeMemoryForTime()
	becomes := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
			runtime.GC()
			got := debug.SetGCPercent(want)
			if got == want {
				return
			}
			debug.SetGCPercent(got)
			if time.Now().After(deadline) {
				t.Fatalf("garbage may be %d %% of what is alive, want %d", got, want)
			}
		}
	}
	becomes(400)
	great := make([]byte, 200<<20)
	becomes(100)
	runtime.KeepAlive(great)
	becomes(400)
}
