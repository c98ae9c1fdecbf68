package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is the whole program, with its doors, in a process of its own.
type process struct {
	cmd  *exec.Cmd
	args []string
	// store are the flags that lead to its database and keys.
	store  []string
	folder string
	// GRPC, HTTP and Admin are host:port.
	GRPC, HTTP, Admin string
	// ready is how long the last start took.
	ready time.Duration
}

// startLimit bounds a start of the whole program.
const startLimit = time.Minute

// startServer starts the program for a database; what replicas must share lies
// in the folder, and each has a folder below it.
func (c Config) startServer(ctx context.Context, d *database, folder string, flags ...string) (*process, error) {
	own, err := os.MkdirTemp(folder, "replica-")
	if err != nil {
		return nil, err
	}
	logs := url.URL{Scheme: "file", Path: filepath.Join(folder, "logs")}
	s := &process{folder: own, store: []string{"--data-dir", own, "--keyset", filepath.Join(folder, "keys", "keyset.json")}}
	const free = "127.0.0.1:0"
	s.args = append([]string{"serve", "--log-store", logs.String(), "--log-level", "error",
		"--grpc-addr", free, "--http-addr", free, "--admin-addr", free, "--public-url", "http://bench.example.com"}, append(s.store, flags...)...)
	s.cmd = c.command(ctx, d, s.args)
	return s, s.start(ctx)
}

// command runs the program, which learns its database from the environment: a
// URL may hold a password.
func (c Config) command(ctx context.Context, d *database, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Server, args...)
	cmd.Env = append(os.Environ(), "CARILLON_DATABASE_URL="+d.url)
	cmd.Stderr = os.Stderr
	return cmd
}

// start returns when the server serves.
func (s *process) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	for !s.serves(ctx) {
		pause(ctx, time.Millisecond)
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("the program does not serve: %w", ctx.Err()), s.stop())
		}
	}
	s.ready = time.Since(began)
	return nil
}

func (s *process) serves(ctx context.Context) bool {
	if s.Admin == "" {
		text, err := os.ReadFile(filepath.Join(s.folder, "addresses.json"))
		if err != nil || json.Unmarshal(text, s) != nil {
			return false
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Admin+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// token is one for the operator.
func (s *process) token(ctx context.Context, c Config, d *database) (string, error) {
	out, err := c.command(ctx, d, append([]string{"token", "--scope", "operator"}, s.store...)).Output()
	return strings.TrimSpace(string(out)), err
}

// signal sends one to the process.
func (s *process) signal(signal syscall.Signal) error { return s.cmd.Process.Signal(signal) }

// stop ends the process as its operator does.
func (s *process) stop() error {
	_ = s.signal(syscall.SIGCONT) // a failure of Wait says more
	_ = s.signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

// again starts the server anew, in its folder, after a kill.
func (s *process) again(ctx context.Context, c Config, d *database) error {
	if err := os.Remove(filepath.Join(s.folder, "addresses.json")); err != nil {
		return err
	}
	s.GRPC, s.HTTP, s.Admin = "", "", ""
	s.cmd = c.command(ctx, d, s.args)
	return s.start(ctx)
}

// used is the processor time of the process so far.
func (s *process) used() (time.Duration, error) {
	stat, err := processStat(s.cmd.Process.Pid)
	return stat.own, err
}
