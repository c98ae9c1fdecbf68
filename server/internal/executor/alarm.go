package executor

import "time"

// alarm rings when the time that it was set to has passed. It may ring once more
// after it was set anew.
type alarm interface {
	Rings() <-chan time.Time
	Reset(time.Duration)
	Stop()
}

// newAlarm returns an alarm that is not set; an exact one where there is any.
func newAlarm(exact bool) alarm {
	if exact {
		if a, err := newKernelAlarm(); err == nil {
			return a
		}
	}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return runtimeAlarm{timer}
}

// runtimeAlarm is late by up to a millisecond in a process with nothing else to
// do: so coarse is the runtime's sleep.
type runtimeAlarm struct{ timer *time.Timer }

func (a runtimeAlarm) Rings() <-chan time.Time { return a.timer.C }

func (a runtimeAlarm) Reset(d time.Duration) { a.timer.Reset(d) }

func (a runtimeAlarm) Stop() { a.timer.Stop() }
