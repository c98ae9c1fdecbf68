package remote

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strconv"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/hash"

	"github.com/pointscene/carillon/server/internal/job"
)

// planSamples is how many paths of each kind a plan names.
const planSamples = 20

// add counts a file.
func add(p *job.PlanPart, file fs.Object) {
	p.Files++
	p.Bytes += max(file.Size(), 0)
	if len(p.Samples) < planSamples {
		p.Samples = append(p.Samples, file.Remote())
	}
}

// digest stands for a set of changes in any order: the sum of their hashes.
// Folders are compared side by side, and a sorted list of all changes would
// not be bounded.
type digest [4]uint64

// add takes one change of a file, as it was listed.
func (d *digest) add(ctx context.Context, what string, file fs.Object) {
	d.addText(what + "\x00" + file.Remote() + "\x00" + version(ctx, file))
}

func (d *digest) addText(text string) {
	sum := sha256.Sum256([]byte(text))
	carry := uint64(0)
	for i := range d {
		d[i], carry = bits.Add64(d[i], binary.LittleEndian.Uint64(sum[8*i:]), carry)
	}
}

func (d *digest) String() string {
	var text [32]byte
	for i, word := range d {
		binary.LittleEndian.PutUint64(text[8*i:], word)
	}
	return hex.EncodeToString(text[:])
}

// version tells versions of a file apart by what a listing gives without a
// further question: its size and its time or a hash.
func version(ctx context.Context, file fs.Object) string {
	text := strconv.FormatInt(file.Size(), 10)
	f, ok := file.Fs().(fs.Fs)
	if !ok {
		return text
	}
	features := f.Features()
	if !features.SlowModTime && f.Precision() != fs.ModTimeNotSupported {
		return text + "/" + file.ModTime(ctx).UTC().Format(time.RFC3339Nano)
	}
	if kind := f.Hashes().GetOne(); kind != hash.None && !features.SlowHash {
		if sum, err := file.Hash(ctx, kind); err == nil {
			return text + "/" + sum
		}
	}
	return text
}
