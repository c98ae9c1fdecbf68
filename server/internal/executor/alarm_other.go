//go:build !linux

package executor

import "errors"

func newKernelAlarm() (alarm, error) { return nil, errors.ErrUnsupported }
