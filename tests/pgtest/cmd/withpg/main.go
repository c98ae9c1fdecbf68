// Command withpg runs a command with a PostgreSQL for tests:
//
//	withpg [-durable] go test ./...
//
// It passes CARILLON_TEST_POSTGRES_URL on when that is set. Otherwise it
// starts a private cluster for the time of the command. Where there are no
// server programs it says so loudly and runs the command without, or, when
// CI=true, fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/pointscene/carillon/tests/pgtest"
)

func main() {
	durable := flag.Bool("durable", false, "keep fsync and PostgreSQL's other defaults, for benchmarks")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg [-durable] COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := run(*durable, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
	}
	os.Exit(code)
}

// run returns the command's exit code, or 1 with an error of its own.
func run(durable bool, command []string) (code int, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if os.Getenv(pgtest.EnvURL) != "" {
		return execute(command, signals)
	}
	settings := pgtest.Throwaway
	if durable {
		settings = nil
	}
	cluster, err := pgtest.StartCluster(context.Background(), settings)
	switch {
	case errors.Is(err, pgtest.ErrNoServer) && os.Getenv("CI") != "true":
		defer leftOut(err)
		leftOut(err)
		return execute(command, signals)
	case err != nil:
		return 1, err
	}
	defer func() {
		if stopped := cluster.Stop(); stopped != nil {
			code, err = 1, errors.Join(err, fmt.Errorf("stop the cluster: %w", stopped))
		}
	}()
	if err := os.Setenv(pgtest.EnvURL, cluster.URL); err != nil {
		return 1, err
	}
	return execute(command, signals)
}

func leftOut(err error) {
	fmt.Fprintf(os.Stderr, "\n*** LEFT OUT: every test on PostgreSQL: %v.\n*** Install it (Debian: postgresql) or set %s.\n\n", err, pgtest.EnvURL)
}

// execute runs the command in a process group of its own and hands the signals
// to all of it: `go test` does not pass them to the tests that it runs.
func execute(command []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start %s: %w", command[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(-cmd.Process.Pid, s) // the group may have just ended
			}
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 1, fmt.Errorf("run %s: %w", command[0], err)
			}
			if code := cmd.ProcessState.ExitCode(); code >= 0 {
				return code, nil
			}
			return 1, fmt.Errorf("%s ended by a signal", command[0])
		}
	}
}
