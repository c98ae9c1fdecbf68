package executions

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestPositions(t *testing.T) {
	t.Parallel()
	many := make([]int64, 200)
	for i := range many {
		many[i] = int64(1000 + i)
	}
	for name, test := range map[string]struct {
		floor  int64
		active []int64
		want   position
	}{
		"nothing active":         {7, nil, position{1, 2, 7, nil, 0}},
		"up to the floor":        {7, []int64{3, 7, 8}, position{1, 2, 7, []int64{3, 7}, 0}},
		"above the floor":        {2, []int64{3, 7}, position{1, 2, 2, nil, 0}},
		"more than a cursor has": {5000, many, position{1, 2, 1079, many[:80], 0}},
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
	var active []int64
	for i := range int64(maxActive) {
		active = append(active, (i+1)*(job.MaxID/(maxActive+1)))
	}
	p := newPosition(job.MaxID, job.MaxID, job.MaxID, active)
	p.told = job.MaxID
	if text := p.cursor(); len(text) > 1000 {
		t.Errorf("%d characters, more than the API takes", len(text))
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, p := range []position{
		{1, 0, 0, nil, 0}, {1, 2, 300, []int64{1, 5, 300}, 0}, {1, 2, 300, []int64{1, 5, 300}, 5}, {9, 0, job.MaxID, []int64{job.MaxID}, job.MaxID},
	} {
		f.Add(p.cursor(), p.instance, p.job)
	}
	f.Add("AQ", int64(1), int64(0))
	f.Add("AQEAgIA", int64(1), int64(0))
	f.Add("AQEAgICAgICAgICAgICA", int64(1), int64(0))
	f.Fuzz(func(t *testing.T, text string, instance, jobID int64) {
		p, err := parsePosition(text, instance, jobID)
		if err != nil {
			return
		}
		if p.cursor() != text || p.instance != instance || p.job != jobID || !slices.IsSorted(p.active) || len(p.active) > maxActive {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}
