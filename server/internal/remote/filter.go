package remote

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/filter"
)

// CheckFilter refuses a pattern that the library does not understand, or that
// takes too much.
func CheckFilter(pattern string) error {
	if err := CheckFilters([]string{pattern}); err != nil {
		return err
	}
	_, err := newFilter(nil, []string{pattern})
	return err
}

// newFilter makes a filter of the library's patterns. What an exclude matches
// is out; with includes, only what one of them matches is in.
func newFilter(include, exclude []string) (*filter.Filter, error) {
	if err := errors.Join(checkSteps(include, exclude), CheckFilters(include), CheckFilters(exclude)); err != nil {
		return nil, err
	}
	f, err := filter.NewFilter(&filter.Options{
		MinAge: fs.DurationOff, MaxAge: fs.DurationOff, MinSize: -1, MaxSize: -1,
	})
	if err != nil {
		return nil, err
	}
	add := func(in bool, patterns []string) error {
		for _, pattern := range patterns {
			if pattern == "" {
				return fmt.Errorf("a pattern must not be empty")
			}
			if err := f.Add(in, pattern); err != nil {
				return fmt.Errorf("pattern %q: %w", pattern, err)
			}
		}
		return nil
	}
	if err := add(false, exclude); err != nil {
		return nil, err
	}
	if err := add(true, include); err != nil {
		return nil, err
	}
	if len(include) > 0 {
		if err := f.Add(false, "/**"); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// listing is one folder of one side, after the filter.
type listing struct {
	files []fs.Object
	dirs  []fs.Directory
	// hidden are folders that the filter leaves out.
	hidden []string
	// strangers are names that don't belong in the folder. A hostile or broken
	// remote sends them; they must never become a path.
	strangers []string
}

// list reads one folder.
func list(ctx context.Context, f fs.Fs, fi *filter.Filter, dir string) (*listing, error) {
	entries, err := f.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	inDir := fi.IncludeDirectory(ctx, f)
	l := &listing{}
	for _, entry := range entries {
		// There may be many, and patterns that take long for each.
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		name := entry.Remote()
		switch e := entry.(type) {
		case fs.Object:
			if !fi.IncludeObject(ctx, e) {
				continue
			}
			if belongs(dir, name) {
				l.files = append(l.files, e)
				continue
			}
		case fs.Directory:
			if in, err := inDir(name); err != nil || !in {
				l.hidden = append(l.hidden, name)
				continue
			}
			if belongs(dir, name) {
				l.dirs = append(l.dirs, e)
				continue
			}
		}
		l.strangers = append(l.strangers, name)
	}
	return l, nil
}

// listWhole reads one folder without what is being written into it, and what a
// killed process has left there. Of a destination those are files like others,
// which a mirror deletes.
func listWhole(ctx context.Context, f fs.Fs, fi *filter.Filter, dir string) (*listing, error) {
	l, err := list(ctx, f, fi, dir)
	if _, shows := f.(staged); shows && err == nil {
		l.files = slices.DeleteFunc(l.files, func(file fs.Object) bool { return isPartial(file.Remote()) })
	}
	return l, err
}

// belongs reports whether name is that of an entry of the folder dir.
func belongs(dir, name string) bool {
	leaf := name
	if dir != "" {
		rest, ok := strings.CutPrefix(name, dir+"/")
		if !ok {
			return false
		}
		leaf = rest
	}
	return leaf != "" && leaf != "." && leaf != ".." && !strings.ContainsAny(leaf, "/\x00") && path.Base(leaf) == leaf
}
