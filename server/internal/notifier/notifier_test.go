package notifier

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
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
	err := (&Watcher{Store: f}).look(t.Context())
	if err == nil || !strings.Contains(err.Error(), "instance 1: broken") {
		t.Errorf("answered %v, want what is wrong with instance 1", err)
	}
	if want := []int64{1, 2, 3, 2, 2}; !slices.Equal(f.looks, want) {
		t.Errorf("looked at %v, want %v", f.looks, want)
	}
}

func TestDeadReceiversOfOneInstanceLeavePlaces(t *testing.T) {
	t.Parallel()
	if left := places - job.MaxWebhooks*webhookPlaces; left < webhookPlaces {
		t.Errorf("%d places are left to other instances, want enough for a webhook", left)
	}
}
