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
