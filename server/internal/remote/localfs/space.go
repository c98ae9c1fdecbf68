package localfs

import "io"

// Space bounds what is written to a folder.
type Space interface {
	// TakeFile claims a place for one more file, Take bytes of its content. An
	// error ends the writing.
	TakeFile() error
	Take(n int64) error
	// GiveFile returns the place and the content of a file.
	GiveFile(size int64)
}

// space is a Space or, empty, no bound.
type space struct{ Space }

// file claims a place for a file.
func (s space) file() (*taken, error) {
	t := &taken{space: s}
	if s.Space == nil {
		return t, nil
	}
	return t, s.TakeFile()
}

func (s space) give(size int64) {
	if s.Space != nil {
		s.GiveFile(size)
	}
}

// taken is what one file has claimed so far.
type taken struct {
	space
	size int64
}

// reader claims what is read through it.
func (t *taken) reader(in io.Reader) io.Reader {
	if t.Space == nil {
		return in
	}
	return &claiming{in, t}
}

func (t *taken) giveBack() { t.give(t.size) }

type claiming struct {
	in    io.Reader
	taken *taken
}

// Read implements io.Reader.
func (c *claiming) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err := c.taken.Take(int64(n)); err != nil {
		return 0, err
	}
	c.taken.size += int64(n)
	return n, err
}
