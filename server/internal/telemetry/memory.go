package telemetry

import (
	"os"
	"runtime/debug"
)

// TradeMemoryForTime lets the heap grow to five times what is alive before the
// garbage is collected, unless GOGC says otherwise. Executions live shortly, so
// the heap is small and would be collected dozens of times a second in a herd,
// for a fifth of the processor time; so it is a tenth of that, for some ten
// megabytes. GOMEMLIMIT still bounds the whole.
func TradeMemoryForTime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
