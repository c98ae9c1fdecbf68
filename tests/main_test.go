// Package tests tells black-box stories: the real program, its doors, its
// faults. See harness for how a story is told.
//
// Set CARILLON_TEST_LONG=1 for many more rounds of the stories about faults.
package tests

import (
	"os"
	"testing"

	"github.com/pointscene/carillon/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// long tells whether faults may take minutes.
func long() bool { return os.Getenv("CARILLON_TEST_LONG") == "1" }

// roundsOf is how often a story about faults tries its luck. Under the race
// detector the program is several times slower, and a race needs no luck.
func roundsOf(usual, many int) int {
	switch {
	case long():
		return many
	case harness.RaceDetector:
		return max(1, usual/4)
	}
	return usual
}

// oneAfterTheOther leaves a story out under the race detector, where it takes
// several times as long: its callers wait for each answer, or it waits for a
// clock. What it calls, the tests of packages call under the detector.
func oneAfterTheOther(t *testing.T) {
	t.Helper()
	if harness.RaceDetector {
		t.Skip("one after the other; make test runs it")
	}
}
