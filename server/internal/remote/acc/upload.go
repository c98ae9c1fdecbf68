package acc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/chunksize"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/lib/multipart"
	"github.com/rclone/rclone/lib/pool"
)

const (
	// urlsPerCall is how many parts are signed at a time.
	urlsPerCall = 25
	maxParts    = 10_000
)

// upload stores content for a file that is to be in a folder, and returns the
// id of the storage. No file has it yet.
func (f *Fs) upload(ctx context.Context, in io.Reader, dir, name string, size int64) (urn string, err error) {
	chunk := chunksize.Calculator(name, size, maxParts, f.opt.ChunkSize)
	if chunk > maxChunk {
		return "", fserrors.NoRetryError(fmt.Errorf("a file of %v is too large: at most %v", fs.SizeSuffix(size), maxChunk*maxParts))
	}
	var storage document
	err = f.client.call(ctx, request{op: opStorage, doing: "make storage", method: http.MethodPost, path: f.dataPath("storage"),
		body: newDocument(newResource("objects", &attributes{Name: name}, map[string]identifier{"target": {"folders", dir}}))}, &storage)
	if err != nil {
		return "", err
	}
	u := &uploader{client: f.client}
	if u.path, err = storagePath(storage.Data.ID, "signeds3upload"); err != nil {
		return "", err
	}
	if size >= 0 {
		u.expected = max(1, int((size+int64(chunk)-1)/int64(chunk)))
	}
	if err := u.parts(ctx, in, int64(chunk)); err != nil {
		return "", err
	}
	if size >= 0 && u.size != size {
		return "", fserrors.RetryError(fmt.Errorf("the source gave %d bytes instead of %d", u.size, size))
	}
	err = f.client.call(ctx, request{op: opStorageCalls, doing: "complete an upload", method: http.MethodPost, path: u.path,
		body: completion{UploadKey: u.key, Size: u.size, ETags: u.eTags}}, new(struct{}))
	return storage.Data.ID, err
}

// uploader is one upload in parts, which are numbered from 1.
type uploader struct {
	client *client
	path   string
	// expected is the number of parts; 0 when it is not known.
	expected int

	key   string
	eTags []string
	size  int64
	// urls are those of the parts from first on.
	first int
	urls  []string
}

// parts reads and stores the parts one by one, each from memory so that it can
// be sent again.
func (u *uploader) parts(ctx context.Context, in io.Reader, chunk int64) error {
	for number := 1; ; number++ {
		if number > maxParts {
			return fserrors.NoRetryError(errors.New("the file has too many parts"))
		}
		last, err := u.next(ctx, in, number, chunk)
		if err != nil || last {
			return err
		}
	}
}

// next stores the next part of the input, and tells whether it was the last.
func (u *uploader) next(ctx context.Context, in io.Reader, number int, chunk int64) (last bool, err error) {
	part := multipart.NewRW()
	defer func() { err = errors.Join(err, part.Close()) }()
	n, err := io.CopyN(part, in, chunk)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	last = err != nil || number == u.expected
	if n == 0 && number > 1 {
		return true, nil
	}
	eTag, err := u.send(ctx, number, part)
	if err != nil {
		return false, fmt.Errorf("store part %d: %w", number, err)
	}
	u.eTags = append(u.eTags, eTag)
	u.size += n
	return last, nil
}

// send stores a part, at a new URL if an attempt fails.
func (u *uploader) send(ctx context.Context, number int, part *pool.RW) (eTag string, err error) {
	for try := 1; try <= tries; try++ {
		var at string
		if at, err = u.url(ctx, number); err != nil {
			return "", err
		}
		if eTag, err = u.put(ctx, at, part); err == nil {
			return eTag, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		u.urls = nil // it may have ended
		if try == tries {
			break
		}
		if err := pause(ctx, try); err != nil {
			return "", err
		}
	}
	return "", fserrors.RetryError(err)
}

// url is where a part goes to. URLs are asked for in batches.
func (u *uploader) url(ctx context.Context, number int) (string, error) {
	if i := number - u.first; u.key != "" && i >= 0 && i < len(u.urls) {
		return u.urls[i], nil
	}
	count := urlsPerCall
	if u.expected > 0 {
		count = min(count, u.expected-number+1)
	}
	query := url.Values{"parts": {strconv.Itoa(count)}, "firstPart": {strconv.Itoa(number)}, "minutesExpiration": {urlMinutes}}
	if u.key != "" {
		query.Set("uploadKey", u.key)
	}
	var signed signedUpload
	err := u.client.call(ctx, request{op: opStorageCalls, doing: "get URLs to upload to", method: http.MethodGet, path: u.path, query: query}, &signed)
	if err != nil {
		return "", err
	}
	if len(signed.URLs) == 0 || signed.UploadKey == "" {
		return "", errors.New("no URLs from Autodesk to upload to")
	}
	u.key, u.first, u.urls = signed.UploadKey, number, signed.URLs
	return u.urls[0], nil
}

// sending keeps the transport, which may read on after it has answered, from
// reading a part that is used anew.
type sending struct {
	mu   sync.Mutex
	part *pool.RW
}

func (s *sending) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.part == nil {
		return 0, errors.New("the request has ended")
	}
	return s.part.Read(p)
}

func (s *sending) Close() error { return nil }

func (s *sending) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.part = nil
}

// put stores a part, once.
func (u *uploader) put(ctx context.Context, at string, part *pool.RW) (string, error) {
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	body := &sending{part: part}
	defer body.end()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.client.secure(at), body)
	if err != nil {
		return "", err
	}
	if req.ContentLength = part.Size(); req.ContentLength == 0 {
		req.Body = http.NoBody
	}
	resp, err := u.client.bare.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the storage of Autodesk answers %s", resp.Status)
	}
	eTag := resp.Header.Get("ETag")
	if eTag == "" {
		return "", errors.New("the storage of Autodesk answers no ETag")
	}
	return eTag, nil
}
