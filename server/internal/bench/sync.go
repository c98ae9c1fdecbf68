package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// sync measures syncs between two folders of this machine beside the rclone
// program, which does the same in turns: it has the same defaults, and like us
// writes a line per file.
func (c Config) sync(ctx context.Context, server string) error {
	if c.Server == "" || c.Rclone == "" {
		return nil
	}
	return c.withSyncer(ctx, server, func(ctx context.Context, s *syncer) error {
		t := &table{
			title: fmt.Sprintf("Syncs beside rclone, %s", s.d.name()),
			note: fmt.Sprintf("Median of %d runs [lowest–highest], in turns, between two folders of one disk. Ours: from the call of RunJob to the end, CPU with the database. "+
				"rclone: its whole process.", c.Rounds),
			head: []string{"", "mode", "wall", "rclone's", "ratio", "CPU", "of it database", "rclone's", "ratio"},
		}
		small := syncCase{name: fmt.Sprintf("%d files of 4 KiB", c.Files), tree: tree{files: c.Files, size: 4 << 10}}
		large := syncCase{name: "one file of 1 GiB", tree: tree{files: 1, size: 1 << 30}}
		equal := small
		equal.name, equal.equal = fmt.Sprintf("nothing to do, %d files", c.Files), true
		for _, what := range []syncCase{small, equal, large} {
			if err := s.compare(ctx, c, what, t); err != nil {
				return err
			}
		}
		return t.write(c.Out)
	})
}

// syncCase is one thing to sync.
type syncCase struct {
	name string
	tree tree
	// equal is set when the destination has everything already.
	equal bool
}

// compare measures one case in both modes, and adds their rows.
func (s *syncer) compare(ctx context.Context, c Config, what syncCase, t *table) error {
	if err := what.tree.write(filepath.Join(s.root, "src")); err != nil {
		return err
	}
	for _, mode := range []string{"copy", "mirror"} {
		var ours, theirs series
		for range c.Rounds {
			rclone, err := s.rcloneOnce(ctx, c, mode, what)
			if err != nil {
				return fmt.Errorf("rclone: %w", err)
			}
			our, err := s.once(ctx, mode, what)
			if err != nil {
				return err
			}
			ours.runs, theirs.runs = append(ours.runs, our), append(theirs.runs, rclone)
		}
		t.addSync(what.name, mode, ours, theirs)
	}
	return nil
}

func (t *table) addSync(name, mode string, ours, theirs series) {
	wall := func(f figure) float64 { return f.took.Seconds() }
	cpu := func(f figure) float64 { return f.total().Seconds() }
	row := []any{name, mode}
	for _, column := range []func(figure) float64{wall, cpu} {
		mine, others := ours.values(column), theirs.values(column)
		ratios := make([]float64, len(mine))
		for i := range mine {
			ratios[i] = mine[i] / others[i]
		}
		row = append(row, median(mine, "%.2f s"))
		if len(row) > 4 {
			row = append(row, median(ours.values(func(f figure) float64 { return f.database.Seconds() }), "%.2f s"))
		}
		row = append(row, median(others, "%.2f s"), median(ratios, "%.2f"))
	}
	t.add(row...)
}

// once runs our job for one case.
func (s *syncer) once(ctx context.Context, mode string, what syncCase) (f figure, err error) {
	if err := s.clear(what); err != nil {
		return f, err
	}
	f, c, err := s.run(ctx, mode)
	if err != nil {
		return f, err
	}
	if done := c.Copied + c.Skipped; done != what.tree.files || (c.Copied == 0) != what.equal {
		return f, fmt.Errorf("%s: copied %d files and left %d of %d", what.name, c.Copied, c.Skipped, what.tree.files)
	}
	return f, nil
}

// rcloneOnce runs rclone for one case.
func (s *syncer) rcloneOnce(ctx context.Context, c Config, mode string, what syncCase) (f figure, err error) {
	if err := s.clear(what); err != nil {
		return f, err
	}
	verb := map[string]string{"copy": "copy", "mirror": "sync"}[mode]
	log := filepath.Join(s.root, "rclone.log")
	_ = os.Remove(log) // the first time there is none
	cmd := exec.CommandContext(ctx, c.Rclone, verb, filepath.Join(s.root, "src"), filepath.Join(s.root, "dst"),
		"--config", "", "--log-level", "INFO", "--log-file", log)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return f, errors.Join(err, errors.New(string(out)))
	}
	f.took = time.Since(began)
	f.program = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return f, nil
}

// clear puts the destination aside, unless it is to be equal. It does not
// delete it: a file system that has just lost many files finds places for new
// ones slowly.
func (s *syncer) clear(what syncCase) error {
	dst := filepath.Join(s.root, "dst")
	if _, err := os.Lstat(dst); what.equal || os.IsNotExist(err) {
		return nil
	}
	s.aside++
	return os.Rename(dst, filepath.Join(s.root, fmt.Sprint("aside-", s.aside)))
}
