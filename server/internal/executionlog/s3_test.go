package executionlog

import (
	"bytes"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 answers the four requests of S3 that a log store makes, for a bucket
// named logs in path style.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string][]byte
}

type s3Object struct {
	Key          string
	Size         int
	LastModified time.Time
	ETag         string
}

func startS3(t *testing.T) (endpoint string) {
	t.Helper()
	server := httptest.NewServer(&fakeS3{objects: map[string][]byte{}})
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return server.URL
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	lines, exists := f.objects[key]
	switch {
	case bucket != "logs":
		refuse(w, "NoSuchBucket")
	case r.Method == http.MethodGet && key == "":
		f.list(w, r.URL.Query().Get("prefix"))
	case r.Method == http.MethodPut:
		if strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
			http.Error(w, "aws-chunked is more than this fake understands", http.StatusNotImplemented)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.objects[key] = body
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !exists:
		refuse(w, "NoSuchKey")
	default:
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Now(), bytes.NewReader(lines)) // ranges too
	}
}

func (f *fakeS3) list(w http.ResponseWriter, prefix string) {
	var answer struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []s3Object
	}
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if strings.HasPrefix(key, prefix) {
			answer.Contents = append(answer.Contents, s3Object{Key: key, Size: len(f.objects[key]), LastModified: time.Now().UTC(), ETag: `"x"`})
		}
	}
	_ = xml.NewEncoder(w).Encode(answer) // a client that has gone needs no answer
}

func refuse(w http.ResponseWriter, code string) {
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code></Error>")
}
