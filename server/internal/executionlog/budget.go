package executionlog

import (
	"encoding/json"
	"sync/atomic"

	"github.com/pointscene/carillon/server/internal/job"
)

// Budget is how many bytes several logs may take together from now on.
type Budget struct{ left atomic.Int64 }

// NewBudget returns a budget of some bytes; none when negative.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.left.Store(bytes)
	return b
}

// take takes bytes, or says that there are not as many.
func (b *Budget) take(bytes int) bool {
	if b.left.Add(-int64(bytes)) >= 0 {
		return true
	}
	b.left.Add(int64(bytes))
	return false
}

// Within leaves out the lines that a budget has no room for, after one that
// says so. It is called before the first line.
func (w *Writer) Within(b *Budget) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget = b
}

// withinBudget is the line to keep: this one, one that says why it is left out,
// or, after that, none. It is called with mu held.
func (w *Writer) withinBudget(line []byte) []byte {
	switch {
	case w.told:
		return nil
	case w.budget == nil || w.budget.take(len(line)):
		return line
	}
	w.told = true
	text, _ := json.Marshal(struct { // texts always encode
		Time    string `json:"time"`
		Level   string `json:"level"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
	}{
		parseLine(line).Time.Format(timeLayout), "WARN",
		"the log ends here: the logs of the instance take as much as its quota allows", job.ReasonQuota,
	})
	return append(text, '\n')
}
