package places

import "testing"

func TestPlaces(t *testing.T) {
	t.Parallel()
	p := New(3, 2)
	take := func(instance int64, want bool) func() {
		t.Helper()
		leave, ok := p.Take(instance)
		if ok != want {
			t.Fatalf("a place for instance %d: %t, want %t", instance, ok, want)
		}
		return leave
	}
	first := take(1, true)
	take(1, true)
	take(1, false) // its own are taken
	last := take(2, true)
	take(3, false) // all are
	first()
	first() // leaving twice is leaving once
	take(3, true)
	take(1, false)
	last()
	take(2, true)
	if len(p.by) != 3 {
		t.Errorf("remembers %v", p.by)
	}
}
