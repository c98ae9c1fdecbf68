package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// envDatabase tells a replica in a process of its own which database it
// serves: a URL may hold a password, and arguments are for everybody to see.
const envDatabase = "CARILLON_BENCH_DATABASE"

// Replica serves the database that the environment names, as one process of
// several: it writes its id when it is ready, begins when it reads a line, ends
// with SIGTERM, and then writes how many executions it has stored.
func Replica(ctx context.Context, places int, in io.Reader, out io.Writer) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer cancel()
	e, err := openEngine(ctx, os.Getenv(envDatabase), places)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, e.lease.ID()); err != nil {
		return errors.Join(err, e.close())
	}
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return errors.Join(err, e.close())
	}
	e.start(context.WithoutCancel(ctx))
	<-ctx.Done()
	err = e.close()
	_, printed := fmt.Fprintln(out, e.stored)
	return errors.Join(err, printed)
}

// child is a replica, or another program, in a process of its own.
type child struct {
	cmd *exec.Cmd
	in  io.Writer
	out io.Reader
	id  int64
}

func (c Config) startChild(ctx context.Context, d *database) (*child, error) {
	r, err := startProgram(ctx, d, c.Replica...)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fscanln(r.out, &r.id); err != nil {
		r.kill()
		return nil, fmt.Errorf("wait for a replica: %w", err)
	}
	return r, nil
}

// startProgram starts a program for a database; the same garbage collection is
// for all.
func startProgram(ctx context.Context, d *database, command ...string) (r *child, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), envDatabase+"="+d.url, "GOGC=400")
	cmd.Stderr = os.Stderr
	r = &child{cmd: cmd}
	if r.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if r.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	return r, nil
}

// begin lets the replica claim.
func (r *child) begin() error {
	_, err := fmt.Fprintln(r.in)
	return err
}

// end stops the replica and tells how many executions it stored.
func (r *child) end() (stored int, err error) {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanln(r.out, &stored)
	return stored, errors.Join(err, r.cmd.Wait())
}

// kill ends the process at once.
func (r *child) kill() {
	_ = r.cmd.Process.Kill() // it may have ended already
	_ = r.cmd.Wait()         // how it ended is known
}

// used is the processor time of an ended replica.
func (r *child) used() time.Duration {
	return r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()
}
