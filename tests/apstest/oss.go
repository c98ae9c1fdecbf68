package apstest

import (
	"bytes"
	"crypto/md5" // what S3 computes
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxURLs is how many signed URLs one call answers.
	maxURLs = 25
	// maxParts is S3's own limit.
	maxParts = 10_000
	// uploadTTL is how long an upload can be completed.
	uploadTTL = 24 * time.Hour
)

// upload is one that was begun.
type upload struct {
	object *object
	parts  map[int][]byte
	ends   time.Time
}

func etag(content []byte) string {
	sum := md5.Sum(content)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// object finds what a call of OSS is about.
func (s *Server) object(c *call) (*object, error) {
	o := s.objects[c.PathValue("object")]
	if o == nil || o.bucket != c.PathValue("bucket") {
		return nil, refuse(http.StatusNotFound, "NOT_FOUND", "there is no such object")
	}
	_, err := s.folder(o.target.id)
	return o, err
}

// expiry reads how long signed URLs live.
func (s *Server) expiry(query url.Values) (time.Time, error) {
	minutes, err := number(query, "minutesExpiration", 2, 1, 60)
	return s.options.Now().Add(time.Duration(minutes) * time.Minute), err
}

func (s *Server) signUpload(c *call) (answer, error) {
	o, err := s.object(c)
	if err != nil {
		return answer{}, err
	}
	query := c.URL.Query()
	parts, err := number(query, "parts", 1, 1, maxURLs)
	if err != nil {
		return answer{}, err
	}
	first, err := number(query, "firstPart", 1, 1, maxParts+1-parts)
	if err != nil {
		return answer{}, err
	}
	ends, err := s.expiry(query)
	if err != nil {
		return answer{}, err
	}
	key := query.Get("uploadKey")
	if key == "" {
		key = s.id("upload")
		s.uploads[key] = &upload{object: o, parts: map[int][]byte{}, ends: s.options.Now().Add(uploadTTL)}
	}
	u := s.uploads[key]
	if u == nil || u.object != o || !s.options.Now().Before(u.ends) {
		return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "the upload key is not valid")
	}
	urls := []string{}
	for n := first; n < first+parts; n++ {
		urls = append(urls, fmt.Sprintf("%s/upload/%s/%d?ends=%d&X-Amz-Signature=fake", s.storage.URL, key, n, ends.UnixNano()))
	}
	return answer{http.StatusOK, map[string]any{"uploadKey": key, "urls": urls, "urlExpiration": stamp(ends), "uploadExpiration": stamp(u.ends)}}, nil
}

// completeUpload puts the parts together.
func (s *Server) completeUpload(c *call) (answer, error) {
	o, err := s.object(c)
	if err != nil {
		return answer{}, err
	}
	u := s.uploads[c.body.UploadKey]
	if u == nil || u.object != o || !s.options.Now().Before(u.ends) {
		return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "the upload key is not valid")
	}
	var content bytes.Buffer
	for n := 1; n <= len(u.parts); n++ {
		part, ok := u.parts[n]
		switch {
		case !ok:
			return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "part %d is missing", n)
		case n < len(u.parts) && int64(len(part)) < s.options.MinPart:
			return answer{}, refuse(http.StatusBadRequest, "EntityTooSmall", "part %d has %d bytes", n, len(part))
		case c.body.ETags != nil && (len(c.body.ETags) != len(u.parts) || c.body.ETags[n-1] != etag(part)):
			return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "the eTag of part %d does not match", n)
		}
		content.Write(part)
	}
	if len(u.parts) == 0 || c.body.Size != nil && *c.body.Size != int64(content.Len()) {
		return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "%d parts with %d bytes were uploaded", len(u.parts), content.Len())
	}
	delete(s.uploads, c.body.UploadKey)
	o.set(content.Bytes())
	return answer{http.StatusOK, map[string]any{"bucketKey": o.bucket, "objectKey": o.key, "objectId": o.urn(), "size": content.Len()}}, nil
}

func (s *Server) signDownload(c *call) (answer, error) {
	o, err := s.object(c)
	if err != nil {
		return answer{}, err
	}
	if !o.complete {
		return answer{}, refuse(http.StatusNotFound, "NOT_FOUND", "the object has no content yet")
	}
	ends, err := s.expiry(c.URL.Query())
	if err != nil {
		return answer{}, err
	}
	link := fmt.Sprintf("%s/download/%s?ends=%d&X-Amz-Signature=fake", s.storage.URL, o.key, ends.UnixNano())
	body := map[string]any{"status": "complete", "url": link, "size": len(o.content)}
	if !s.options.NoSHA1 {
		body["sha1"] = o.sha1
	}
	return answer{http.StatusOK, body}, nil
}

// storageRoutes are those of the signed URLs' host.
func (s *Server) storageRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /upload/{key}/{part}", s.signed(OpPutPart, s.putPart))
	mux.HandleFunc("GET /download/{object}", s.signed(OpGetObject, s.getObject))
	return mux
}

// signed wraps what a signed URL allows, in the manner of S3.
func (s *Server) signed(op string, handle func(http.ResponseWriter, *http.Request, *Fault)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := s.begin(op)
		if !f.before(w, r) {
			return
		}
		if r.Header.Get("Authorization") != "" {
			s.mu.Lock()
			s.violations = append(s.violations, op+": a token was sent to a signed URL")
			s.mu.Unlock()
			http.Error(w, "<Error><Code>InvalidArgument</Code></Error>", http.StatusBadRequest)
			return
		}
		ends, _ := strconv.ParseInt(r.URL.Query().Get("ends"), 10, 64)
		if !s.options.Now().Before(time.Unix(0, ends)) {
			http.Error(w, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", http.StatusForbidden)
			return
		}
		handle(w, r, f)
	}
}

func (s *Server) putPart(w http.ResponseWriter, r *http.Request, f *Fault) {
	if f != nil && f.Cut > 0 {
		_, _ = io.CopyN(io.Discard, r.Body, f.Cut)
		f.hold(r)
		cut(w)
		return
	}
	content, err := io.ReadAll(r.Body)
	n, _ := strconv.Atoi(r.PathValue("part"))
	if err != nil || r.ContentLength < 0 {
		http.Error(w, "<Error><Code>MissingContentLength</Code></Error>", http.StatusLengthRequired)
		return
	}
	s.mu.Lock()
	u := s.uploads[r.PathValue("key")]
	if u != nil {
		u.parts[n] = content
	}
	s.mu.Unlock()
	if u == nil {
		http.Error(w, "<Error><Code>NoSuchUpload</Code></Error>", http.StatusNotFound)
		return
	}
	if !f.lost(w) {
		w.Header().Set("ETag", etag(content))
	}
}

func (s *Server) getObject(w http.ResponseWriter, r *http.Request, f *Fault) {
	s.mu.Lock()
	o := s.objects[r.PathValue("object")]
	var content []byte
	if o != nil {
		content = o.content
	}
	s.mu.Unlock()
	if f != nil && f.Cut > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:min(f.Cut, int64(len(content)))])
		_ = http.NewResponseController(w).Flush()
		f.hold(r)
		cut(w)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
