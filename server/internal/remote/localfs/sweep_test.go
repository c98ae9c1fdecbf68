package localfs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// What a killed process left goes when its folder is written into or removed;
// what may still be written to stays.
func TestLeftPartialsAreRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t, "f")
	leave := func(name string, age time.Duration) string {
		at := filepath.Join(b.dir, "f", name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		b.write(t, at, "half")
		when := time.Now().Add(-age)
		if err := os.Chtimes(at, when, when); err != nil {
			t.Fatal(err)
		}
		return at
	}
	leave("d/.carillon-old.partial", time.Hour)
	leave("d/.carillon-new.partial", time.Minute)
	leave("d/.carillon-mine", time.Hour)
	leave("e/.carillon-old.partial", time.Hour)
	if _, err := b.put(t.Context(), "d/a", "1"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(b.dir, "f/d"))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if !slices.Equal(names, []string{".carillon-mine", ".carillon-new.partial", "a"}) {
		t.Errorf("the folder has %v", names)
	}
	if err := b.Rmdir(t.Context(), "e"); err != nil {
		t.Errorf("a folder with nothing but an old partial: %v", err)
	}
}
