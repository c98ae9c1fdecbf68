package remote

import (
	"encoding/json"
	"testing"
)

// FuzzLimits reads what a workflow says of deletions and bandwidth, in any JSON.
func FuzzLimits(f *testing.F) {
	for _, seed := range []string{`"50%"`, `10`, `-1`, `1e30`, `"2M"`, `"1e9%"`, `"0x10"`, `null`, `"9999999999999999999G"`, `1.5`, `"٣%"`, `"off"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil || value == nil {
			return
		}
		if limit, err := ParseDeleteLimit(value); err == nil {
			for _, files := range []int64{0, 1, 1000, 1 << 40} {
				if !limit.allows(0, files) || limit.Amount < 0 || limit.allows(files, files) && !limit.allows(files/2, files) {
					t.Errorf("%s is %s, and of %d files that makes no sense", text, limit, files)
				}
			}
		}
		if bytes, err := ParseBandwidth(value); err == nil && bytes < MinBandwidth {
			t.Errorf("%s is %d bytes", text, bytes)
		}
	})
}
