package harness

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// RunAnswering runs a command of the program at a terminal, answers with a line
// what it asks after its output contains seen, and tells how it ended. meanwhile
// happens before the answer.
func RunAnswering(t testing.TB, env []string, seen string, meanwhile func(), answer string, args ...string) Result {
	t.Helper()
	keyboard, terminal := newTerminal(t)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = t.TempDir(), environment(env), terminal
	var stdout, stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.Stdout = writer(func(text []byte) {
		before := strings.Contains(stdout.String(), seen)
		stdout.Write(text)
		if !before && strings.Contains(stdout.String(), seen) {
			meanwhile()
			_, _ = keyboard.WriteString(answer + "\n")
		}
	})
	_ = cmd.Run() // the code tells
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}

// writer hears what is written.
type writer func([]byte)

func (w writer) Write(text []byte) (int, error) {
	w(text)
	return len(text), nil
}

// newTerminal makes a pseudo terminal: what is written to the keyboard, a
// program reads from the terminal.
func newTerminal(t testing.TB) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return keyboard, terminal
}
