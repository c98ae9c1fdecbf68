package executor

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// kernelAlarm is a timer of the kernel that the runtime waits for as for a
// connection: it wakes the process to some ten microseconds.
type kernelAlarm struct {
	fd    int
	file  *os.File
	rings chan time.Time
}

func newKernelAlarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make timer: %w", err)
	}
	a := &kernelAlarm{fd: fd, file: os.NewFile(uintptr(fd), "timer"), rings: make(chan time.Time, 1)}
	go a.wait()
	return a, nil
}

// wait rings until Stop.
func (a *kernelAlarm) wait() {
	var times [8]byte
	for {
		if _, err := a.file.Read(times[:]); err != nil {
			return
		}
		select {
		case a.rings <- time.Now(): //nolint:forbidigo // that it rings is all that counts, as with a time.Timer
		default: // it rings already
		}
	}
}

// Rings implements alarm.
func (a *kernelAlarm) Rings() <-chan time.Time { return a.rings }

// Reset implements alarm.
func (a *kernelAlarm) Reset(d time.Duration) {
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(max(d, 1).Nanoseconds())} // 0 would turn it off
	if err := unix.TimerfdSettime(a.fd, 0, &once, nil); err != nil {
		panic(fmt.Sprintf("executor: set a timer that is there: %v", err)) //nolint:forbidigo // no argument can be wrong
	}
}

// Stop implements alarm; it can't be set again.
func (a *kernelAlarm) Stop() { _ = a.file.Close() }
