package harness

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Get answers the text at a path of one of the server's addresses.
func (s *Server) Get(address, path string) (string, error) {
	answer, err := s.client().Get(s.scheme() + address + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// Resident is the memory of the process in MiB; 0 where /proc does not tell.
func (s *Server) Resident() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kibibytes, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kibibytes >> 10
}

// Goroutines counts those of the process.
func (s *Server) Goroutines(t testing.TB) int {
	t.Helper()
	text, err := s.Get(s.Admin, "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "total ")
	number, _, _ := strings.Cut(rest, "\n")
	count, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("the profile begins %.60q: %v", text, err)
	}
	return count
}

// Live is what the process's heap holds after a collection of garbage, in MiB.
func (s *Server) Live(t testing.TB) float64 {
	t.Helper()
	text := ""
	for range 2 { // pools keep their contents over one collection
		var err error
		if text, err = s.Get(s.Admin, "/debug/pprof/heap?gc=1&debug=1"); err != nil {
			t.Fatal(err)
		}
	}
	_, rest, _ := strings.Cut(text, "# HeapAlloc = ")
	number, _, _ := strings.Cut(rest, "\n")
	size, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatalf("the profile tells %.60q", rest)
	}
	return size / (1 << 20)
}
