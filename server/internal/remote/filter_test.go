package remote

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	src := files{"sync/1": "", "sub/sync/2": "", "a.txt": "", "sub/b.txt": "", "c.bin": ""}
	tests := map[string]struct {
		include, exclude []string
		want             []string
	}{
		"unanchored, at any depth":      {exclude: []string{"sync/**"}, want: []string{"a.txt", "c.bin", "sub/b.txt"}},
		"anchored, at the root only":    {exclude: []string{"/sync/**"}, want: []string{"a.txt", "c.bin", "sub/b.txt", "sub/sync/2"}},
		"folder":                        {exclude: []string{"/sub/"}, want: []string{"a.txt", "c.bin", "sync/1"}},
		"include":                       {include: []string{"*.txt"}, want: []string{"a.txt", "sub/b.txt"}},
		"include below a folder":        {include: []string{"/sub/**"}, want: []string{"sub/b.txt", "sub/sync/2"}},
		"exclude wins over include":     {include: []string{"*.txt"}, exclude: []string{"/sub/**"}, want: []string{"a.txt"}},
		"a leading sign is no operator": {exclude: []string{"+ a.txt", "!"}, want: []string{"a.txt", "c.bin", "sub/b.txt", "sub/sync/2", "sync/1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			src.write(t, b.root+"/src")
			_, _, err := b.syncLocal(t, "/src", "/dst", func(r *Request) { r.Include, r.Exclude = test.include, test.exclude })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, slices.Sorted(maps.Keys(read(t, b.root+"/dst")))); diff != "" {
				t.Errorf("copied (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExcludedFilesSurviveAMirror(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	files{"a": "1", "private/x": "2", "old": "3"}.write(t, b.root+"/dst")
	if _, _, err := b.syncLocal(t, "/src", "/dst", func(r *Request) { r.Exclude = []string{"/private/**"} }); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/dst").equal(t, files{"a": "1", "private/x": "2"})
}

func TestCheckFilter(t *testing.T) {
	t.Parallel()
	for pattern, ok := range map[string]bool{"*.txt": true, "/a/**": true, "{{.*[}}": false, "a[": false, "": false, "***": false} {
		if err := CheckFilter(pattern); (err == nil) != ok {
			t.Errorf("CheckFilter(%q) = %v, want ok %v", pattern, err, ok)
		}
	}
}
