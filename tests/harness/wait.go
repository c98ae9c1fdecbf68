package harness

import (
	"testing"
	"time"
)

// Wait asks until ready answers true, and fails the test when it has not after
// at most limit. What is the state that was waited for, for people.
func Wait(t testing.TB, limit time.Duration, what string, ready func() bool) {
	t.Helper()
	if !Within(limit, ready) {
		t.Fatalf("after %s still not: %s", limit, what)
	}
}

// Within asks until ready answers true, or limit has passed; it asks at least
// once.
func Within(limit time.Duration, ready func() bool) bool {
	deadline := time.Now().Add(limit)
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
