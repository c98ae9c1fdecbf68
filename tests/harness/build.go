package harness

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is the path of the binary that Main built.
var program string

// stories is how many tests run at once unless -parallel says otherwise: they
// wait for servers more than they compute.
const stories = "8"

// Main builds the program, runs the tests and returns their exit code.
func Main(m *testing.M) int {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	return code
}

func run(m *testing.M) (code int, err error) {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", stories); err != nil {
			return 1, err
		}
	}
	folder, err := os.MkdirTemp("", "carillon-tests-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if program, err = build(folder); err != nil {
		return 1, err
	}
	go watchStalls()
	return m.Run(), nil
}

// Root is the folder of the module, the working directory of no test.
func Root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// build makes the program in folder, from what the tests were built from.
func build(folder string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "carillon")
	args := []string{"build", "-o", binary}
	if RaceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./server/cmd/carillon")...)
	cmd.Dir = root
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, output.Bytes())
	}
	return binary, nil
}

// Program is the path of the built binary.
func Program() string { return program }
