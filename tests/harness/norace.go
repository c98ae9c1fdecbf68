//go:build !race

package harness

// RaceDetector tells whether the tests and the program are built with it.
const RaceDetector = false
