package executions

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestPositions(t *testing.T) {
	t.Parallel()
	herd, apart := make([]int64, 2*maxActive), make([]int64, 2*maxActive)
	for i := range herd {
		herd[i], apart[i] = int64(1000+i), int64(1000+50*i) // one of 50 instances
	}
	for name, test := range map[string]struct {
		floor  int64
		active []int64
		want   position
	}{
		"nothing active":         {7, nil, position{1, 2, 7, nil, 0}},
		"up to the floor":        {7, []int64{3, 7, 8}, position{1, 2, 7, []int64{3, 7}, 0}},
		"above the floor":        {2, []int64{3, 7}, position{1, 2, 2, nil, 0}},
		"a herd":                 {5000, herd[:maxActive], position{1, 2, 5000, herd[:maxActive], 0}},
		"more than a cursor has": {5000, herd, position{1, 2, 2999, herd[:maxActive], 0}},
		"many with gaps":         {1e6, apart[:600], position{1, 2, 1e6, apart[:600], 0}},
		"more than fits":         {1e6, apart, position{1, 2, apart[699] - 1, apart[:699], 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newPosition(1, 2, test.floor, test.active)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(position{}), cmp.Transformer("", func(ids []int64) []int64 { return append([]int64{}, ids...) })); diff != "" {
				t.Errorf("position (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongestCursorFits(t *testing.T) {
	t.Parallel()
	for _, gap := range []int64{1, 2, 60, 10_000, job.MaxID / (maxActive + 1)} {
		for run := int64(1); run < 4; run++ {
			var active []int64
			for at := gap; len(active) < maxActive && at+run < job.MaxID; at += gap + run {
				for i := range run {
					active = append(active, at+i)
				}
			}
			p := newPosition(job.MaxID, job.MaxID, job.MaxID, active)
			p.told = job.MaxID
			text := p.cursor()
			if len(text) > 1000 {
				t.Errorf("%d characters, more than the API takes", len(text))
			}
			again, err := parsePosition(text, job.MaxID, job.MaxID)
			if err != nil || !slices.Equal(again.active, p.active) || again.floor != p.floor || len(p.active) < 70 {
				t.Errorf("%d executions came back as %d (%v)", len(p.active), len(again.active), err)
			}
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, p := range []position{
		{1, 0, 0, nil, 0}, {1, 2, 300, []int64{1, 5, 300}, 0}, {1, 2, 300, []int64{1, 5, 300}, 5}, {9, 0, job.MaxID, []int64{job.MaxID}, job.MaxID},
	} {
		f.Add(p.cursor(), p.instance, p.job)
	}
	f.Add("Aw", int64(1), int64(0))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte{cursorWhole, 1, 0, 9, 10, 0}), int64(1), int64(0))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte{cursorWhole, 1, 0, 9, 11, 0, 2}), int64(1), int64(0))
	f.Add("AwEAgIA", int64(1), int64(0))
	f.Add("AwEAgICAgICAgICAgICA", int64(1), int64(0))
	f.Fuzz(func(t *testing.T, text string, instance, jobID int64) {
		p, err := parsePosition(text, instance, jobID)
		if err != nil {
			return
		}
		if p.cursor() != text || p.instance != instance || p.job != jobID || !slices.IsSorted(p.active) || len(slices.Compact(slices.Clone(p.active))) < len(p.active) || len(p.active) > maxActive {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}
