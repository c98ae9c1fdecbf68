package notifier

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/store"
)

// feeds is a store of which some instances always have more and others fail.
type feeds struct {
	store.Notices
	more   map[int64]int
	broken int64
	looks  []int64
}

func (f *feeds) NoticeInstances(context.Context) ([]int64, error) { return []int64{1, 2, 3}, nil }

func (f *feeds) AdvanceNotices(_ context.Context, id int64, _ func(store.NoticeLook) store.NoticeStep) (int, bool, error) {
	f.looks = append(f.looks, id)
	if id == f.broken {
		return 0, false, errors.New("broken")
	}
	f.more[id]--
	return 0, f.more[id] > 0, nil
}

func TestNoInstanceKeepsOthersWaiting(t *testing.T) {
	t.Parallel()
	f := &feeds{broken: 1, more: map[int64]int{2: 3}}
	_, err := (&Watcher{Store: f}).look(t.Context())
	if err == nil || !strings.Contains(err.Error(), "instance 1: broken") {
		t.Errorf("answered %v, want what is wrong with instance 1", err)
	}
	if want := []int64{1, 2, 3, 2, 2}; !slices.Equal(f.looks, want) {
		t.Errorf("looked at %v, want %v", f.looks, want)
	}
}

// quiet is a store that notes when it is asked.
type quiet struct {
	store.Notices
	mu        sync.Mutex
	instances []int64
	next      time.Time
	asked     []time.Duration
	began     time.Time
}

func (q *quiet) note() {
	q.asked = append(q.asked, time.Since(q.began))
}

func (q *quiet) NoticeInstances(context.Context) ([]int64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.note()
	return q.instances, nil
}

func (q *quiet) AdvanceNotices(context.Context, int64, func(store.NoticeLook) store.NoticeStep) (int, bool, error) {
	return 0, false, nil
}

func (q *quiet) ClaimDeliveries(context.Context, store.DeliveryClaim) ([]store.Sending, error) {
	return nil, nil
}

func (q *quiet) NextDelivery(context.Context) (time.Time, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.note()
	return q.next, nil
}

// after lets time pass, and wants the store to be asked at these times.
func (q *quiet) after(t *testing.T, d time.Duration, want ...time.Duration) {
	t.Helper()
	q.mu.Lock()
	q.asked, q.began = nil, time.Now()
	q.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Equal(q.asked, want) {
		t.Errorf("asked after %v, want %v", q.asked, want)
	}
}

func (q *quiet) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
}

const every, idle = time.Second, 5 * time.Second

func TestWatcherSleepsWithoutWebhooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, deaf := &quiet{}, atomic.Bool{}
		w := NewWatcher(Watcher{Store: q, Every: every, Idle: idle, Listening: func() bool { return !deaf.Load() }})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		defer func() { stop(); running.Wait() }()
		q.after(t, 11*time.Second, 0, idle, 2*idle)
		q.set(func() { q.instances = []int64{1} })
		w.Wake()
		q.after(t, 2500*time.Millisecond, 0, every, 2*every)
		q.set(func() { q.instances = nil })
		deaf.Store(true)
		q.after(t, 3*time.Second, every/2, every/2+every, every/2+2*every)
	})
}

func TestSenderSleepsUntilSomethingIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &quiet{}
		s := NewSender(SenderOptions{Store: q, Every: every, Idle: idle, Listening: func() bool { return true }, Now: time.Now})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		defer func() { stop(); running.Wait() }()
		q.after(t, 6*time.Second, 0, idle)
		q.set(func() { q.next = time.Now().Add(3 * time.Second) })
		s.Wake()
		// When it is due and others have it, there is something to wait for.
		q.after(t, 5500*time.Millisecond, 0, 3*time.Second, 4*time.Second, 5*time.Second)
	})
}
