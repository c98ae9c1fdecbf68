package harness

import (
	"testing"
	"time"
)

// patience stretches every limit: what a limit says is enough on a quiet machine,
// and a busy one must not fail a story that is only late. How fast something is,
// the benchmarks show.
const patience = 6

// Wait asks until ready answers true, and fails the test when it has not after
// at most limit, stretched. What is the state that was waited for, for people.
func Wait(t testing.TB, limit time.Duration, what string, ready func() bool) {
	t.Helper()
	if !Within(limit, ready) {
		t.Fatalf("after %s still not: %s", patience*limit, what)
	}
}

// Within asks until ready answers true, or limit, stretched, has passed; it asks
// at least once.
func Within(limit time.Duration, ready func() bool) bool {
	deadline := time.Now().Add(patience * limit)
	pause := 5 * time.Millisecond
	for !ready() {
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
	return true
}
