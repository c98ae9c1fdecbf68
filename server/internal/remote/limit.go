package remote

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// DeleteLimit is how many files a mirror may delete. The zero value allows
// none.
type DeleteLimit struct {
	// Amount is a number of files or, with Percent, a share of the files that
	// the destination has before the sync.
	Amount  int64
	Percent bool
}

// DefaultDeleteLimit is the limit of a mirror that names none.
var DefaultDeleteLimit = DeleteLimit{Amount: 50, Percent: true}

var percentRE = regexp.MustCompile(`^(\d{1,3})%$`)

// ParseDeleteLimit reads a limit as it stands in JSON: a whole number of files
// (20) or a percentage from "0%" to "100%".
func ParseDeleteLimit(value any) (DeleteLimit, error) {
	wrong := errors.New(`must be a whole number of files, or a percentage from "0%" to "100%"`)
	switch v := value.(type) {
	case float64:
		if v < 0 || v > 1<<53-1 || v != float64(int64(v)) {
			return DeleteLimit{}, wrong
		}
		return DeleteLimit{Amount: int64(v)}, nil
	case string:
		match := percentRE.FindStringSubmatch(v)
		if match == nil {
			return DeleteLimit{}, wrong
		}
		percent, _ := strconv.ParseInt(match[1], 10, 64)
		if percent > 100 {
			return DeleteLimit{}, wrong
		}
		return DeleteLimit{Amount: percent, Percent: true}, nil
	}
	return DeleteLimit{}, wrong
}

func (l DeleteLimit) String() string {
	if l.Percent {
		return fmt.Sprintf("%d%%", l.Amount)
	}
	return strconv.FormatInt(l.Amount, 10)
}

// allows reports whether deleting some of the destination's files is within
// the limit.
func (l DeleteLimit) allows(deletes, files int64) bool {
	if l.Percent {
		return deletes*100 <= l.Amount*files
	}
	return deletes <= l.Amount
}

// MinBandwidth is the lowest limit of a session, in bytes per second: lower
// ones would make a cancel wait for the limiter.
const MinBandwidth = 256 << 10

var bandwidthRE = regexp.MustCompile(`^(\d{1,9})([BKMG])$`)

// ParseBandwidth reads a limit in bytes per second as it stands in JSON: a
// whole number, or a string with a unit, where "2M" is 2 * 1024 * 1024.
func ParseBandwidth(value any) (int64, error) {
	wrong := fmt.Errorf(`must be bytes per second, as a whole number or like "512K", "2M", "1G", at least %d`, MinBandwidth)
	var n int64
	switch v := value.(type) {
	case float64:
		if v < 0 || v > 1<<50 || v != float64(int64(v)) {
			return 0, wrong
		}
		n = int64(v)
	case string:
		match := bandwidthRE.FindStringSubmatch(v)
		if match == nil {
			return 0, wrong
		}
		n, _ = strconv.ParseInt(match[1], 10, 64)
		n <<= map[string]uint{"B": 0, "K": 10, "M": 20, "G": 30}[match[2]]
	default:
		return 0, wrong
	}
	if n < MinBandwidth {
		return 0, wrong
	}
	return n, nil
}
