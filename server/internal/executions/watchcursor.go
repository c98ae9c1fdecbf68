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
	cursorWhole, cursorPart = 1, 2
	// maxActive bounds a cursor to some 900 characters.
	maxActive = 80
)

// newPosition is the position of somebody who has been told everything that
// can be seen, while no further execution up to floor comes to be seen. active
// are all that have not ended, in order.
func newPosition(instance, job, floor int64, active []int64) position {
	until, found := slices.BinarySearch(active, floor)
	if found {
		until++
	}
	if until > maxActive {
		// The rest is read again from the history. The oldest ones are kept:
		// they would make that the longest.
		floor, until = active[maxActive]-1, maxActive
	}
	return position{instance: instance, job: job, floor: floor, active: slices.Clone(active[:until])}
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
	last := int64(0)
	for _, id := range p.active {
		raw = binary.AppendUvarint(raw, uint64(id-last))
		last = id
	}
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
	var numbers []int64
	head := 3
	if raw[0] == cursorPart {
		head = 4
	}
	for raw = raw[1:]; len(raw) > 0; {
		n, size := binary.Uvarint(raw)
		if size <= 0 || n > job.MaxID {
			return position{}, refused
		}
		numbers, raw = append(numbers, int64(n)), raw[size:]
	}
	if len(numbers) < head || len(numbers) > head+maxActive || numbers[0] != instance || numbers[1] != jobID {
		return position{}, refused
	}
	p := position{instance: instance, job: jobID, floor: numbers[2]}
	if head > 3 {
		p.told = numbers[3]
	}
	last := int64(0)
	for _, delta := range numbers[head:] {
		last += delta
		p.active = append(p.active, last)
	}
	// What does not come out the same was not made by cursor.
	if last > p.floor || slices.Contains(numbers[head:], 0) || p.cursor() != text {
		return position{}, refused
	}
	return p, nil
}
