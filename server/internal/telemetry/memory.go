package telemetry

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// TradeMemoryForTime lets a small heap grow to five times what is alive before
// the garbage is collected, unless GOGC says otherwise. Executions live shortly,
// so the heap is small and would be collected dozens of times a second in a
// herd, for a fifth of the processor time; so it is a tenth of that, for some
// ten megabytes. The more is alive, as in a two-way sync of a great tree, the
// less is added to it. GOMEMLIMIT still bounds the whole.
func TradeMemoryForTime() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercent(0))
	afterEachCollection(gcPercent(0))
}

// gcPercent is how much garbage may lie beside so many bytes alive, in percent
// of them.
func gcPercent(alive uint64) int {
	switch {
	case alive < 64<<20:
		return 400
	case alive < 128<<20:
		return 200
	}
	return 100
}

// afterEachCollection sets the percentage anew when it has changed: an object
// that nothing holds is finalized once in each collection.
func afterEachCollection(percent int) {
	type unheld struct{ _ [16]byte }
	runtime.SetFinalizer(&unheld{}, func(*unheld) {
		alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(alive)
		now := gcPercent(alive[0].Value.Uint64())
		if now != percent {
			debug.SetGCPercent(now)
		}
		afterEachCollection(now)
	})
}
