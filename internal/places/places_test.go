package places

import "testing"

func TestPlaces(t *testing.T) {
	t.Parallel()
	p := New[int64](3, 2)
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
	if _, ok := p.TakeAny(); ok {
		t.Error("all are taken, and one more is")
	}
	if len(p.by) != 3 {
		t.Errorf("remembers %v", p.by)
	}
}

func TestTakeAny(t *testing.T) {
	t.Parallel()
	p := New[string](2, 1)
	leave, ok := p.TakeAny()
	if _, again := p.TakeAny(); !ok || !again {
		t.Fatal("there is room for two")
	}
	if _, ok := p.Take("a"); ok {
		t.Error("there is room for a third")
	}
	leave()
	leave()
	if _, ok := p.Take("a"); !ok {
		t.Error("nobody has left")
	}
}
