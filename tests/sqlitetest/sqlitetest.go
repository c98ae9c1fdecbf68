// Package sqlitetest gives tests migrated databases of their own without
// migrating each: that takes a second under the race detector, and there are
// hundreds.
package sqlitetest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

var migrated struct {
	sync.Once
	file []byte
}

// Open makes a migrated database for one test and answers its URL. The first
// call of a process has one migrated, by its migrate, which must leave the
// database closed; the others get copies.
func Open(t testing.TB, migrate func(url string) error) (url string) {
	t.Helper()
	migrated.Do(func() {
		file := filepath.Join(t.TempDir(), "template.db")
		if err := migrate("file:" + file); err != nil {
			t.Errorf("migrate: %v", err)
			return
		}
		if info, err := os.Stat(file + "-wal"); err == nil && info.Size() > 0 {
			t.Error("the migrated database was not closed")
			return
		}
		var err error
		if migrated.file, err = os.ReadFile(file); err != nil {
			t.Error(err)
		}
	})
	if migrated.file == nil {
		t.Fatal("there is no migrated database to copy")
	}
	file := filepath.Join(t.TempDir(), "carillon.db")
	if err := os.WriteFile(file, migrated.file, 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + file
}
