package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options of a server; the zero value is one on SQLite with the defaults, on
// free ports.
type Options struct {
	// DataDir is the data folder; empty makes one.
	DataDir string
	// Flags are further flags of serve, which win over the harness's own.
	Flags []string
	// Env are further variables, as NAME=value.
	Env []string
	// Dir is the working directory; empty means DataDir.
	Dir string
	// Roots are the authorities of the doors' certificate; nil for plain text.
	Roots *x509.CertPool
	// Errors says that the story makes the server log errors.
	Errors bool
}

// Server is one running process of the program.
type Server struct {
	// DataDir is its data folder.
	DataDir string
	// GRPC, HTTP and Admin are host:port; a door that it lacks is empty.
	GRPC, HTTP, Admin string

	options Options
	cmd     *exec.Cmd
	log     *output
	ended   chan struct{}
	// expected says that the end is the story's own doing.
	expected bool
	// asked is the GraphQL schema, asked for once.
	asked struct {
		sync.Mutex
		schema *schema
	}
}

// Limits of a start and of a stop; a busy machine needs some patience.
const (
	startLimit = 30 * time.Second
	stopLimit  = 3 * time.Minute
)

// Start starts a server and returns when it serves. It is stopped, and its end
// checked, when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = t.TempDir()
	}
	if o.Dir == "" {
		o.Dir = o.DataDir
	}
	s := launch(t, o)
	t.Cleanup(func() { s.finish(t) })
	s.Await(t)
	return s
}

// Again starts a server with the same options and data folder, after the
// former one has ended.
func (s *Server) Again(t testing.TB) *Server {
	t.Helper()
	return Start(t, s.options)
}

func launch(t testing.TB, o Options) *Server {
	t.Helper()
	// The file of an earlier start would be taken for that of this one.
	if err := os.Remove(filepath.Join(o.DataDir, "addresses.json")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	const free = "127.0.0.1:0"
	args := append([]string{"serve", "--data-dir", o.DataDir, "--grpc-addr", free, "--http-addr", free, "--admin-addr", free}, o.Flags...)
	s := &Server{DataDir: o.DataDir, options: o, log: &output{}, ended: make(chan struct{})}
	s.cmd = exec.Command(program, args...)
	s.cmd.Dir = o.Dir
	s.cmd.Env = environment(o.Env)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start the program: %v", err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // how it ended is in its state
	}()
	return s
}

// Await returns when the server is ready.
func (s *Server) Await(t testing.TB) {
	t.Helper()
	Wait(t, startLimit, "the server serves", func() bool {
		if s.Ended() {
			t.Fatalf("the server ended at its start: %s", s.cmd.ProcessState)
		}
		return s.readAddresses() && s.ready()
	})
}

func (s *Server) readAddresses() bool {
	text, err := os.ReadFile(filepath.Join(s.DataDir, "addresses.json"))
	if err != nil {
		return false
	}
	var a struct{ GRPC, HTTP, Admin string }
	if err := json.Unmarshal(text, &a); err != nil {
		return false
	}
	s.GRPC, s.HTTP, s.Admin = a.GRPC, a.HTTP, a.Admin
	return true
}

func (s *Server) ready() bool {
	answer, err := s.client().Get(s.scheme() + s.Admin + "/readyz")
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// Ended tells whether the process has ended.
func (s *Server) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// Pid is the process's id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Signal sends a signal.
func (s *Server) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("signal %s: %v", signal, err)
	}
}

// MayLoseItsLease forgives that from now on: the story made the process stand still
// for so long that another one may have declared it dead.
func (s *Server) MayLoseItsLease() { s.options.Errors = true }

// Kill ends the process without any warning (kill -9) and waits for its end.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.expected = true
	s.Signal(t, syscall.SIGKILL)
	<-s.ended
}

// Stop asks the process to end (SIGTERM), waits, and fails the test unless it
// ended cleanly.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGTERM)
	s.AwaitStop(t)
}

// AwaitStop is the rest of Stop, for a story that has sent the signal.
func (s *Server) AwaitStop(t testing.TB) {
	t.Helper()
	s.expected = true
	select {
	case <-s.ended:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill() // the test has failed anyway
		<-s.ended
		t.Errorf("the server did not stop within %s", stopLimit)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server stopped with %s, want exit code 0", s.cmd.ProcessState)
	}
}

// finish stops a server that still runs and judges what it said.
func (s *Server) finish(t testing.TB) {
	switch {
	case !s.Ended():
		_ = s.cmd.Process.Signal(syscall.SIGCONT) // in case the story stopped it
		s.Stop(t)
	case !s.expected:
		t.Errorf("the server ended by itself: %s", s.cmd.ProcessState)
	}
	for line := range strings.Lines(s.Log()) {
		late := (strings.Contains(line, "lost the lease") || strings.Contains(line, "context deadline exceeded")) && Stalled(saidAt(line))
		bad := strings.Contains(line, "DATA RACE") || strings.Contains(line, "panic") ||
			strings.Contains(line, "level=ERROR") && !s.options.Errors && !late
		if bad {
			t.Errorf("the server said: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("the end of the log of process %d:\n%s", s.Pid(), tail(s.Log(), 150))
	}
}

// saidAt is the time of a line of a log, zero for none.
func saidAt(line string) time.Time {
	text, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
	at, _ := time.Parse(time.RFC3339, text)
	return at
}

// Log is everything that the process has written so far.
func (s *Server) Log() string { return s.log.String() }

// Command runs another command of the program on this server's database.
func (s *Server) Command(t testing.TB, args ...string) Result {
	t.Helper()
	return Run(t, s.options.Env, append(args, s.store()...)...)
}

// store are the flags that lead to the server's database and keys.
func (s *Server) store() []string {
	flags := []string{"--data-dir", s.DataDir}
	for i, flag := range s.options.Flags {
		if flag == "--database-url" || flag == "--keyset" || flag == "--keyset-kms" {
			flags = append(flags, flag, s.options.Flags[i+1])
		}
	}
	return flags
}

// Token is a token with the given scope, signed by the operator's command.
func (s *Server) Token(t testing.TB, scope string, args ...string) string {
	t.Helper()
	result := s.Command(t, append([]string{"token", "--scope", scope}, args...)...)
	if result.Code != 0 {
		t.Fatalf("carillon token ended with %d: %s", result.Code, result.Stderr)
	}
	return strings.TrimSpace(result.Stdout)
}

// URL is an address of the HTTP door.
func (s *Server) URL(path string) string { return s.scheme() + s.HTTP + path }

func (s *Server) scheme() string {
	if s.options.Roots != nil {
		return "https://"
	}
	return "http://"
}

// client trusts the authorities of the server.
func (s *Server) client() *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.options.Roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	return &http.Client{Timeout: callLimit, Transport: transport}
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// schema is what the GraphQL door says of itself.
func (s *Server) schema(ctx context.Context) (*schema, error) {
	s.asked.Lock()
	defer s.asked.Unlock()
	if s.asked.schema == nil {
		found, err := s.askSchema(ctx)
		if err != nil {
			return nil, err
		}
		s.asked.schema = found
	}
	return s.asked.schema, nil
}
