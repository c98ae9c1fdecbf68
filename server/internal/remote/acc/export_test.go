package acc

import "github.com/rclone/rclone/fs"

// SetUploadChunkSize is what the library's own tests of uploads in parts use.
func (f *Fs) SetUploadChunkSize(size fs.SizeSuffix) (fs.SizeSuffix, error) {
	old := f.opt.ChunkSize
	f.opt.ChunkSize = size
	return old, nil
}
