package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// tree measures how much memory a sync of a great tree needs.
func (c Config) tree(ctx context.Context, server string) error {
	if c.Server == "" {
		return nil
	}
	return c.withSyncer(ctx, server, func(ctx context.Context, s *syncer) error {
		what := syncCase{name: "tree", tree: tree{files: c.Tree, size: 100}}
		if err := what.tree.write(filepath.Join(s.root, "src")); err != nil {
			return err
		}
		t := &table{
			title: fmt.Sprintf("Memory for a tree of %d files, %s", c.Tree, s.d.name()),
			note:  "The most that the whole program had in memory (RSS) during one sync between two folders of one disk.",
			head:  []string{"", "mode", "before", "most", "wall", "CPU"},
		}
		for _, mode := range []string{"copy", "mirror", "bisync"} {
			for _, equal := range []bool{false, true} {
				what.equal = equal
				before, err := s.resetPeak()
				if err != nil {
					return err
				}
				f, err := s.once(ctx, mode, what)
				if err != nil {
					return err
				}
				name := map[bool]string{false: "first sync", true: "nothing to do"}[equal]
				t.add(name, mode, before, memory(s.cmd.Process.Pid, "VmHWM"), fmt.Sprintf("%.1f s", f.took.Seconds()), fmt.Sprintf("%.1f s", f.total().Seconds()))
			}
		}
		return t.write(c.Out)
	})
}

// resetPeak makes VmHWM the most from now on, and answers what is in memory.
func (s *syncer) resetPeak() (now string, err error) {
	pid := s.cmd.Process.Pid
	err = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	return memory(pid, "VmRSS"), err
}
