package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is processor time: of this process, and of the database server's
// processes together.
type usage struct{ program, database time.Duration }

func (u usage) total() time.Duration { return u.program + u.database }

func (u usage) minus(before usage) usage {
	return usage{u.program - before.program, u.database - before.database}
}

// meter reads processor time.
type meter struct {
	// postmaster is the parent of the server's processes, 0 on SQLite.
	postmaster int
}

// meterOf finds the server's processes by way of the one that answers.
func meterOf(ctx context.Context, d *database) (m meter, err error) {
	if !d.postgres {
		return m, nil
	}
	var backend int
	if err := d.db.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return m, fmt.Errorf("find the database server's processes: %w", err)
	}
	stat, err := processStat(backend)
	if err != nil {
		return m, fmt.Errorf("the database server must run on this machine: %w", err)
	}
	m.postmaster = stat.parent
	return m, nil
}

func (m meter) read() (u usage, err error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return u, fmt.Errorf("read own processor time: %w", err)
	}
	u.program = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	if m.postmaster != 0 {
		u.database, err = m.server()
	}
	return u, err
}

// server sums the time of the parent, of its living children, and of those
// that it has waited for. One that ends meanwhile would be missed: so it reads
// again until none did.
func (m meter) server() (time.Duration, error) {
	for {
		before, err := processStat(m.postmaster)
		if err != nil {
			return 0, err
		}
		living, err := m.children()
		if err != nil {
			return 0, err
		}
		after, err := processStat(m.postmaster)
		if err != nil || after.ended == before.ended {
			return after.own + after.ended + living, err
		}
	}
}

func (m meter) children() (sum time.Duration, err error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, folder := range folders {
		pid, _ := strconv.Atoi(filepath.Base(folder))
		child, err := processStat(pid)
		if err == nil && child.parent == m.postmaster { // else it has just ended
			sum += child.own
		}
	}
	return sum, nil
}

// stat is what /proc/PID/stat says of a process.
type stat struct {
	parent int
	// own is its time, ended that of the children it has waited for.
	own, ended time.Duration
}

// clockTick is the unit of /proc/PID/stat on every Linux.
const clockTick = 10 * time.Millisecond

func processStat(pid int) (s stat, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	// The second field is the program's name, in parentheses, and may hold
	// spaces. What follows begins with the third field.
	_, rest, ok := bytes.Cut(text, []byte(") "))
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 15 {
		return s, fmt.Errorf("/proc/%d/stat has another form than expected", pid)
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64)
		return n
	}
	s.parent = int(number(4))
	s.own = time.Duration(number(14)+number(15)) * clockTick
	s.ended = time.Duration(number(16)+number(17)) * clockTick
	return s, nil
}

// memory is what /proc/PID/status says of a process, as text: VmHWM is the most
// that it has had in memory so far, VmRSS what it has now.
func memory(pid int, field string) string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it runs
	_, size, _ := strings.Cut(string(status), field+":")
	size, _, _ = strings.Cut(size, " kB")
	kB, _ := strconv.Atoi(strings.TrimSpace(size))
	return fmt.Sprintf("%d MiB", kB>>10)
}
