package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The load and the faults.
const (
	faultRate = 100
	// stopFor is how long a stopped replica stands still: three leases.
	stopFor = 30 * time.Second
	// recovery is how long both replicas run between two faults.
	recovery = 8 * time.Second
)

// faults kills and stops replicas of the whole program again and again, under
// a load of jobs that call an outside, which remembers every call. Half of the
// jobs are tried again when their replica is lost.
func (c Config) faults(ctx context.Context, server string) error {
	if c.Server == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit+time.Duration(c.Faults)*2*time.Minute)
	defer cancel()
	d, err := newDatabase(ctx, server, c.Folder)
	if err != nil {
		return err
	}
	return closing(ctx, d, c.faultsOn(ctx, d))
}

func (c Config) faultsOn(ctx context.Context, d *database) (err error) {
	out := &outside{calls: make(map[string][]int64)}
	listener := httptest.NewServer(out)
	defer listener.Close()
	workflow := fmt.Sprintf(`{"tasks":[{"name":"call","type":"http.request","args":{"url":%q,"method":"POST"}}]}`, listener.URL)
	round := time.Second + recovery + stopFor + recovery
	first := time.Now().Truncate(time.Second).Add(15 * time.Second)
	jobs := faultRate / 2 * int(time.Duration(c.Faults)*round/time.Second)
	once := herd{instance: 1, jobs: jobs, first: first, perSecond: faultRate / 2, jitter: time.Second, workflow: workflow}
	again := once
	again.instance, again.policies = 2, oftenRetried
	if err := errors.Join(d.durable(ctx), d.insert(ctx, once), d.insert(ctx, again)); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "carillon-bench-server-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	var both [2]*process
	for i := range both {
		if both[i], err = c.startServer(ctx, d, folder, "--egress-allow", "127.0.0.0/8"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, both[i].stop()) }()
	}
	pause(ctx, time.Until(first))
	for n := range c.Faults {
		if err := c.faultRound(ctx, d, both[n%2], both[1-n%2]); err != nil {
			return err
		}
	}
	pause(ctx, time.Until(again.last().Add(again.jitter)))
	if err := d.awaitDone(ctx); err != nil {
		return err
	}
	return c.judge(ctx, d, both[0], out, once, again)
}

// faultRound kills one replica and starts it again, then stops the other one
// for longer than its lease.
func (c Config) faultRound(ctx context.Context, d *database, victim, sleeper *process) error {
	pause(ctx, time.Second)
	if err := victim.signal(syscall.SIGKILL); err != nil {
		return err
	}
	_ = victim.cmd.Wait() // how it ended is known
	if err := victim.again(ctx, c, d); err != nil {
		return err
	}
	pause(ctx, recovery)
	if err := sleeper.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, stopFor)
	if err := sleeper.signal(syscall.SIGCONT); err != nil {
		return err
	}
	pause(ctx, recovery)
	return ctx.Err()
}

// judge compares the ledger with what reached the outside.
func (c Config) judge(ctx context.Context, d *database, s *process, out *outside, once, again herd) error {
	v, err := out.compare(ctx, d)
	if err != nil {
		return err
	}
	verdict := "nothing wrong"
	report, doctor := c.command(ctx, d, append([]string{"doctor", "--all"}, s.store...)).Output()
	if doctor != nil {
		verdict = strings.ReplaceAll(strings.TrimSpace(string(report)), "\n", "; ")
	}
	v.lost = once.jobs + again.jobs - v.jobs
	t := &table{
		title: fmt.Sprintf("Faults: %d executions/s on two replicas, %d × (kill -9 of one, SIGSTOP of the other for %s), %s", faultRate, c.Faults, stopFor, d.name()),
		note: "Each execution calls an outside that remembers execution and fence. Lost: jobs without an execution in the history. " +
			"Doubled: instants with two, or executions without a retry policy that called twice. " +
			"Stale: executions whose outcome is not that of the highest fence that was given to them.",
		head: []string{"executions", "SUCCEEDED", "WORKER_LOST", "attempts beyond the first", "lost", "doubled", "stale", "carillon doctor"},
	}
	t.add(v.rows, v.succeeded, v.workerLost, v.retried, v.lost, v.doubled, v.stale, verdict)
	if err := t.write(c.Out); err != nil {
		return err
	}
	if v.lost != 0 || v.doubled != 0 || v.stale != 0 || v.rows != v.succeeded+v.workerLost || doctor != nil {
		return fmt.Errorf("the faults broke a promise: %+v, doctor: %s", v, verdict)
	}
	return nil
}

// outside remembers every call of a task.
type outside struct {
	mu sync.Mutex
	// calls are the fences of each execution's calls, in their order.
	calls map[string][]int64
}

// ServeHTTP implements http.Handler.
func (o *outside) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	fence, _ := strconv.ParseInt(r.Header.Get("Carillon-Fence"), 10, 64) // 0 is nobody's
	id := r.Header.Get("Carillon-Execution-Id")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[id] = append(o.calls[id], fence)
}

// verdicts count what the ledger says, and where the outside knows better.
type verdicts struct{ rows, jobs, succeeded, workerLost, retried, lost, doubled, stale int }

func (o *outside) compare(ctx context.Context, d *database) (v verdicts, err error) {
	found, err := d.db.QueryContext(ctx, "SELECT id, job_id, state, attempt, fence FROM executions")
	if err != nil {
		return v, err
	}
	defer found.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	jobs := make(map[int64]bool)
	for found.Next() {
		var id, job, fence int64
		var state string
		var attempt int
		if err := found.Scan(&id, &job, &state, &attempt, &fence); err != nil {
			return v, err
		}
		if jobs[job] {
			v.doubled++
		}
		jobs[job] = true
		v.judge(o.calls[fmt.Sprint("exec_", id)], state, attempt, fence)
	}
	v.jobs = len(jobs)
	return v, found.Err()
}

// judge takes one execution, each of which is the only one of its job.
func (v *verdicts) judge(calls []int64, state string, attempt int, fence int64) {
	v.rows++
	v.retried += attempt - 1
	if len(calls) > attempt {
		v.doubled++
	}
	called := false
	for _, f := range calls {
		called = called || f == fence
		if f > fence {
			v.stale++
		}
	}
	switch state {
	case "SUCCEEDED":
		v.succeeded++
		if !called {
			v.stale++ // it is told by an attempt that was not the last
		}
	case "WORKER_LOST":
		v.workerLost++
	}
}
