package job

import (
	"strings"
	"testing"
)

// FuzzParseID: every text is at most one identifier, and its own text form again.
func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"", "1", "job_19", "exec_19", "job_0", "job_01", "+1", "-1", "9007199254740991", "9007199254740992", "job_job_1", "1\n", "１", "1e3", "0x1", "job_ 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := KindJob.Parse(text)
		if !ok {
			return
		}
		if id < 1 || id > MaxID || KindJob.Format(id) != "job_"+strings.TrimPrefix(text, "job_") {
			t.Errorf("%q is read as %d", text, id)
		}
		if _, other := KindExecution.Parse(text); other && strings.HasPrefix(text, "job_") {
			t.Errorf("%q is of two kinds", text)
		}
	})
}
