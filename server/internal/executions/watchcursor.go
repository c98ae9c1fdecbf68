package executions

import (
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/pointscene/carillon/server/internal/job"
)

// position is how far somebody has read the changes of executions: everything
// that was to be told of those up to floor, but for the active ones.
type position struct {
	instance, job int64
	floor         int64
	// active are the executions up to floor that had not ended, in order.
	active []int64
	// told is the last one that was told to somebody who left before everything
	// was, else 0.
	told int64
}

const (
	// cursorWhole begins a cursor without told, cursorPart one that has it.
	cursorWhole, cursorPart = 3, 4
	// maxActive is how many executions a position has at most, and maxBytes how many
	// bytes of a cursor they take, which is then shorter than 1000 characters.
	maxActive, maxBytes = 2000, 700
)

// newPosition is the position of somebody who has been told everything that
// can be seen, while no further execution up to floor comes to be seen. active
// are all that have not ended, in order.
func newPosition(instance, job, floor int64, active []int64) position {
	until, found := slices.BinarySearch(active, floor)
	if found {
		until++
	}
	if _, fit := appendRuns(nil, active[:min(until, maxActive)]); fit < until {
		// The rest is read again from the history. The oldest ones are kept:
		// they would make that the longest.
		floor, until = active[fit]-1, fit
	}
	return position{instance: instance, job: job, floor: floor, active: active[:until:until]}
}

// appendRuns adds ids, in order, to a cursor, and answers how many of them fit. They
// go as runs without a gap, since a herd's follow each other: twice how far one
// begins behind the last id, and one more when it is longer than one, then by how much
// more than two.
func appendRuns(raw []byte, ids []int64) ([]byte, int) {
	limit, last := len(raw)+maxBytes, int64(0)
	for i := 0; i < len(ids); {
		run := 1
		for i+run < len(ids) && ids[i+run] == ids[i]+int64(run) {
			run++
		}
		before, start := raw, uint64(ids[i]-last)<<1
		if run == 1 {
			raw = binary.AppendUvarint(raw, start)
		} else {
			raw = binary.AppendUvarint(binary.AppendUvarint(raw, start|1), uint64(run-2))
		}
		if len(raw) > limit {
			return before, i
		}
		last, i = ids[i]+int64(run-1), i+run
	}
	return raw, len(ids)
}

// readRuns is the inverse of appendRuns, false for what it can't have made.
func readRuns(numbers []uint64) (ids []int64, ok bool) {
	last := int64(0)
	for len(numbers) > 0 {
		start, run := numbers[0], uint64(1)
		if start&1 == 1 {
			if len(numbers) < 2 || numbers[1] > maxActive {
				return nil, false
			}
			run, numbers = numbers[1]+2, numbers[1:]
		}
		numbers = numbers[1:]
		if start>>1 == 0 || start>>1 > job.MaxID || len(ids)+int(run) > maxActive {
			return nil, false
		}
		last += int64(start >> 1)
		for range run {
			ids = append(ids, last)
			last++
		}
		last--
	}
	return ids, true
}

// cursor is the text form of a position.
func (p position) cursor() string {
	raw, head := []byte{cursorWhole}, []int64{p.instance, p.job, p.floor}
	if p.told > 0 {
		raw, head = []byte{cursorPart}, append(head, p.told)
	}
	for _, n := range head {
		raw = binary.AppendUvarint(raw, uint64(n))
	}
	raw, _ = appendRuns(raw, p.active)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// parsePosition is the inverse of cursor, for a watch of the instance, or of
// one job of it.
func parsePosition(text string, instance, jobID int64) (position, error) {
	refused := job.Invalid("cursor", "INVALID_CURSOR", "is not a cursor of this watch; leave it out to begin with what has not ended")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 || raw[0] != cursorWhole && raw[0] != cursorPart {
		return position{}, refused
	}
	var numbers []uint64
	head := 3
	if raw[0] == cursorPart {
		head = 4
	}
	for raw = raw[1:]; len(raw) > 0; {
		n, size := binary.Uvarint(raw)
		if size <= 0 {
			return position{}, refused
		}
		numbers, raw = append(numbers, n), raw[size:]
	}
	if len(numbers) < head || slices.Max(numbers[:head]) > job.MaxID || numbers[0] != uint64(instance) || numbers[1] != uint64(jobID) {
		return position{}, refused
	}
	p := position{instance: instance, job: jobID, floor: int64(numbers[2])}
	if head > 3 {
		p.told = int64(numbers[3])
	}
	var ok bool
	p.active, ok = readRuns(numbers[head:])
	// What does not come out the same was not made by cursor.
	if !ok || len(p.active) > 0 && p.active[len(p.active)-1] > p.floor || p.cursor() != text {
		return position{}, refused
	}
	return p, nil
}
