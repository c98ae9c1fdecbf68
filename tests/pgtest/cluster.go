package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoServer says that this machine has no PostgreSQL server programs.
var ErrNoServer = errors.New("no PostgreSQL server programs in PATH or /usr/lib/postgresql")

// Throwaway are settings for a cluster whose data nobody needs after a crash.
// The zone is not UTC so that a query that leans on the session's zone shows.
var Throwaway = map[string]string{
	"fsync":              "off",
	"synchronous_commit": "off",
	"full_page_writes":   "off",
	"max_connections":    "1000",
	"timezone":           "Pacific/Chatham",
}

// Cluster is a running private PostgreSQL on loopback, in a temporary folder.
type Cluster struct {
	// URL reaches the database postgres as superuser, password included.
	URL string

	folder string
	// serving starts the server.
	serving func() error
	server  *exec.Cmd
	ended   chan struct{}
	output  bytes.Buffer
}

// StartCluster makes a cluster with the given settings and waits until it
// answers. Without the programs it returns ErrNoServer.
func StartCluster(ctx context.Context, settings map[string]string) (_ *Cluster, err error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "carillon-pg-")
	if err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	c := &Cluster{folder: folder}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	password := rand.Text()
	if err := c.initialise(ctx, programs, owner, password); err != nil {
		return nil, err
	}
	if err := c.serve(ctx, programs, owner, password, settings); err != nil {
		return nil, err
	}
	return c, c.wait(ctx)
}

// initialise makes the data folder, owned by the user that will serve it.
func (c *Cluster) initialise(ctx context.Context, programs string, owner *syscall.Credential, password string) error {
	secret := filepath.Join(c.folder, "password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return fmt.Errorf("write the password file: %w", err)
	}
	if owner != nil {
		for _, path := range []string{c.folder, secret} {
			if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
				return fmt.Errorf("hand over the cluster's folder: %w", err)
			}
		}
	}
	initdb := c.command(ctx, owner, filepath.Join(programs, "initdb"), "--pgdata", filepath.Join(c.folder, "data"),
		"--username", "postgres", "--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if err := initdb.Run(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, c.output.Bytes())
	}
	return nil
}

// serve starts the server on a free port.
func (c *Cluster) serve(ctx context.Context, programs string, owner *syscall.Credential, password string, settings map[string]string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	args := []string{"-D", filepath.Join(c.folder, "data"), "-k", c.folder, "-h", "127.0.0.1", "-p", port}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	c.serving = func() error {
		// Not bound to ctx: a server that is killed leaves shared memory behind, so
		// only Halt and Stop end it.
		server := c.command(context.WithoutCancel(ctx), owner, filepath.Join(programs, "postgres"), args...)
		if err := server.Start(); err != nil {
			return fmt.Errorf("start postgres: %w", err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = server.Wait() // how it ended is in its output
		}()
		c.server, c.ended = server, ended
		return nil
	}
	address := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: net.JoinHostPort("127.0.0.1", port), Path: "/postgres"}
	c.URL = address.String() + "?sslmode=disable"
	return c.serving()
}

// Halt ends the server and every connection; its data stays.
func (c *Cluster) Halt() {
	if c.server != nil {
		_ = c.server.Process.Signal(os.Interrupt) // a fast shutdown; it may have ended already
		<-c.ended
		c.server = nil
	}
}

// Resume starts the server again after Halt, and waits until it answers.
func (c *Cluster) Resume(ctx context.Context) error {
	if err := c.serving(); err != nil {
		return err
	}
	return c.wait(ctx)
}

// wait returns when the server answers, has ended, or ctx has.
func (c *Cluster) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-c.ended:
			return fmt.Errorf("postgres ended at its start:\n%s", c.output.Bytes())
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the server and removes its data.
func (c *Cluster) Stop() error {
	c.Halt()
	return os.RemoveAll(c.folder)
}

// command is one of PostgreSQL's programs, run as owner, in a process group of
// its own so that a Ctrl-C at the terminal reaches the tests before the server.
func (c *Cluster) command(ctx context.Context, owner *syscall.Credential, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.folder
	cmd.Stdout, cmd.Stderr = &c.output, &c.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true}
	return cmd
}

// findPrograms returns the folder with initdb and postgres: Debian's newest
// version, which is not in PATH, else what PATH has.
func findPrograms() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if inPath, err := exec.LookPath("initdb"); err == nil {
		found = append(found, inPath)
	}
	for _, initdb := range found {
		folder := filepath.Dir(initdb)
		if _, err := exec.LookPath(filepath.Join(folder, "postgres")); err == nil {
			return folder, nil
		}
	}
	return "", ErrNoServer
}

// version is the number in /usr/lib/postgresql/15/bin/initdb.
func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// unprivileged is who runs the programs when this process is root, whom they
// refuse; nil means this process's own user.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

// freePort asks the system for a port that nobody listens on.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}
