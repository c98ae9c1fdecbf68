package acc_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/object"

	"github.com/pointscene/carillon/tests/apstest"
)

// As package remote's set-up does: the library reads fields of the standard
// transport that its first use sets.
func init() { http.DefaultTransport.(*http.Transport).CloseIdleConnections() }

// options are a remote's options in memory, with the backend's defaults.
type options struct {
	mu       sync.Mutex
	values   map[string]string
	defaults fs.Options
}

func (o *options) Get(name string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if value, ok := o.values[name]; ok {
		return value, true
	}
	option := o.defaults.Get(name)
	if option == nil {
		return "", false
	}
	unset := *option
	unset.Value = nil
	return unset.String(), true
}

func (o *options) Set(name, value string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.values[name] = value
}

// open opens a folder of the fake, whose root ends in a slash.
func open(t *testing.T, aps *apstest.Server, root string, set map[string]string) fs.Fs {
	t.Helper()
	info, err := fs.Find("acc")
	if err != nil {
		t.Fatal(err)
	}
	o := &options{values: aps.Config("ada"), defaults: info.Options}
	o.values["rate_factor"] = "900"
	maps.Copy(o.values, set)
	m := configmap.New()
	m.AddGetter(o, configmap.PriorityConfig)
	m.AddSetter(o)
	f, err := info.NewFs(t.Context(), t.Name(), root, m)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func setup(t *testing.T) (*apstest.Server, fs.Fs) {
	t.Helper()
	aps := apstest.Start(t, apstest.Options{RateFactor: 1000})
	t.Cleanup(func() {
		for _, violation := range aps.Violations() {
			t.Error(violation)
		}
	})
	return aps, open(t, aps, "Project Files/", nil)
}

func info(name string, size int) fs.ObjectInfo {
	return object.NewStaticObjectInfo(name, time.Now(), int64(size), true, nil, nil)
}

func put(ctx context.Context, f fs.Fs, name, content string) (fs.Object, error) {
	return f.Put(ctx, strings.NewReader(content), info(name, len(content)))
}

func mustPut(t *testing.T, f fs.Fs, name, content string) fs.Object {
	t.Helper()
	o, err := put(t.Context(), f, name, content)
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	return o
}

func read(t *testing.T, o fs.Object, options ...fs.OpenOption) string {
	t.Helper()
	in, err := o.Open(t.Context(), options...)
	if err != nil {
		t.Fatalf("open %v: %v", o, err)
	}
	content, err := io.ReadAll(in)
	if err != nil || in.Close() != nil {
		t.Fatalf("read %v: %v", o, err)
	}
	return string(content)
}

// pattern is content of a size whose parts all differ.
func pattern(size int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		b.WriteString(time.Unix(int64(i), 0).UTC().Format(time.RFC3339))
	}
	return b.String()[:size]
}
