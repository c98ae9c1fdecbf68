package entstore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

func TestReadOnly(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		s := openMigrated(t, url)
		if _, err := s.CreateInstance(t.Context(), job.Instance{Title: "a"}, 0, store.Request{}); err != nil {
			t.Fatal(err)
		}
		reader, err := Open(t.Context(), Options{URL: url, ReadOnly: true, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = reader.Close() })
		if list, err := reader.Instances(t.Context(), nil, store.Page{Limit: 10}); err != nil || len(list) != 1 {
			t.Errorf("read %v, %v", list, err)
		}
		if pending, err := reader.Pending(t.Context()); err != nil || len(pending) > 0 {
			t.Errorf("pending %v, %v", pending, err)
		}
		if _, err := reader.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{}); err == nil {
			t.Error("it writes")
		}
		if _, _, err := reader.Register(t.Context(), "r", time.Minute); err == nil {
			t.Error("it registers")
		}
	})
}

func TestReadOnlyMakesNoFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "missing.db")
	if s, err := Open(t.Context(), Options{URL: "file:" + file, ReadOnly: true}); err == nil {
		_ = s.Close()
		t.Error("a missing file is opened")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file was made")
	}
}
