package localfs

import (
	"path"
	"time"
)

// staleAfter is well beyond the time after which a connection without traffic
// is given up, and with it the file that it writes.
const staleAfter = 10 * time.Minute

// sweepOnce sweeps a folder when it is first written into.
func (f *Fs) sweepOnce(at string) {
	if _, done := f.swept.LoadOrStore(at, true); !done {
		f.sweep(at)
	}
}

// sweep removes what killed processes left in a folder. What can't be removed
// stays, unseen.
func (f *Fs) sweep(at string) {
	opened, err := f.jail.Open(at)
	if err != nil {
		return
	}
	defer func() { _ = opened.Close() }()
	names, _ := opened.Readdirnames(-1)
	for _, name := range names {
		if !isPartial(name) {
			continue
		}
		left := path.Join(at, name)
		if info, err := f.jail.Lstat(left); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > staleAfter {
			_ = f.jail.Remove(left)
		}
	}
}
