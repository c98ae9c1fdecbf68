package remote

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/task"
)

// dropboxServer is a fake of Dropbox's API, version 2: paths that keep their
// case but are unique without it, listings by cursor, and uploads by sessions
// that are committed in batches.
type dropboxServer struct {
	*cloud
	// entries are by lower path; "" is the root.
	entries  map[string]*dropboxEntry
	sessions map[string][]byte
	serial   int
}

type dropboxEntry struct {
	Tag      string `json:".tag"`
	ID       string `json:"id"`
	Name     string `json:"name"`
	Lower    string `json:"path_lower"`
	Display  string `json:"path_display"`
	Modified string `json:"client_modified,omitempty"`
	Server   string `json:"server_modified,omitempty"`
	Rev      string `json:"rev,omitempty"`
	Size     int    `json:"size"`
	Hash     string `json:"content_hash,omitempty"`
	// Downloadable is false for Paper documents.
	Downloadable bool `json:"is_downloadable"`

	content []byte
}

func startDropbox(t *testing.T) *dropboxServer {
	t.Helper()
	d := &dropboxServer{entries: map[string]*dropboxEntry{}, sessions: map[string][]byte{}}
	d.cloud = startCloud(t, func(*cloud) http.Handler {
		mux := http.NewServeMux()
		for route, handle := range map[string]func(http.ResponseWriter, *http.Request){
			"list_folder": d.list, "list_folder/continue": d.more, "get_metadata": d.metadata, "create_folder_v2": d.mkdir,
			"delete_v2": d.remove, "upload_session/start": d.start, "upload_session/append_v2": d.append,
			"upload_session/finish_batch_v2": d.finish, "download": d.download,
		} {
			mux.HandleFunc("POST /2/files/"+route, handle)
		}
		return mux
	})
	return d
}

// config has the keys of the original API.
func (d *dropboxServer) config() task.RemoteConfig {
	return task.RemoteConfig{ResourceID: 7, Name: "dropbox", Type: "dropbox", Options: map[string]string{
		"app_key": "id", "app_secret": "secret-DROPBOX", "token": `{"access_token":"` + cloudToken + `"}`}}
}

// dropboxArg is what the calls ask for.
type dropboxArg struct {
	Path      string
	Cursor    json.RawMessage
	Recursive bool
	Entries   []struct {
		Cursor struct {
			SessionID string `json:"session_id"`
			Offset    int
		}
		Commit struct {
			Path           string
			ClientModified string `json:"client_modified"`
		}
	}
}

func (d *dropboxServer) arg(r *http.Request) (a dropboxArg) {
	text := []byte(r.Header.Get("Dropbox-API-Arg"))
	if len(text) == 0 {
		text, _ = io.ReadAll(r.Body)
	}
	_ = json.Unmarshal(text, &a)
	if a.Path != "" && !strings.HasPrefix(a.Path, "id:") && (!strings.HasPrefix(a.Path, "/") || strings.HasSuffix(a.Path, "/")) {
		d.violations = append(d.violations, "malformed path "+a.Path)
	}
	return a
}

func conflict(w http.ResponseWriter, tag, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(map[string]any{"error_summary": tag + "/" + why + "/.",
		"error": map[string]any{".tag": tag, tag: map[string]string{".tag": why}}})
}

func (d *dropboxServer) put(display string, content []byte, modified string) *dropboxEntry {
	first := sha256.Sum256(content) // one block: the tests' files are small
	sum := sha256.Sum256(first[:])
	if len(content) == 0 {
		sum = sha256.Sum256(nil)
	}
	e := &dropboxEntry{Tag: "file", Display: display, content: content, Size: len(content), Hash: hex.EncodeToString(sum[:]),
		Modified: modified, Server: time.Now().UTC().Format(time.RFC3339), Rev: "0123456789abc", Downloadable: true}
	d.keep(e)
	return e
}

func (d *dropboxServer) keep(e *dropboxEntry) {
	e.Name, e.Lower = path.Base(e.Display), strings.ToLower(e.Display)
	d.serial++
	e.ID = "id:" + strconv.Itoa(d.serial)
	for up := path.Dir(e.Display); up != "/"; up = path.Dir(up) {
		if d.entries[strings.ToLower(up)] == nil {
			d.keep(&dropboxEntry{Tag: "folder", Display: up})
		}
	}
	d.entries[e.Lower] = e
}

// list answers one entry a page, so that every listing has several.
func (d *dropboxServer) list(w http.ResponseWriter, r *http.Request) {
	a := d.arg(r)
	if e := d.entries[strings.ToLower(a.Path)]; a.Path != "" && (e == nil || e.Tag != "folder") {
		conflict(w, "path", "not_found")
		return
	}
	d.page(w, a.Path, 0)
}

func (d *dropboxServer) more(w http.ResponseWriter, r *http.Request) {
	var cursor string
	_ = json.Unmarshal(d.arg(r).Cursor, &cursor)
	at, number, _ := strings.Cut(cursor, "|")
	n, _ := strconv.Atoi(number)
	d.page(w, at, n)
}

func (d *dropboxServer) page(w http.ResponseWriter, at string, from int) {
	found := []*dropboxEntry{}
	for lower, e := range d.entries {
		if strings.TrimSuffix(path.Dir(lower), "/") == strings.ToLower(at) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *dropboxEntry) int { return strings.Compare(a.Lower, b.Lower) })
	last := min(from+1, len(found))
	answerJSON(w, map[string]any{"entries": found[min(from, len(found)):last], "cursor": at + "|" + strconv.Itoa(last), "has_more": last < len(found)})
}

func (d *dropboxServer) metadata(w http.ResponseWriter, r *http.Request) {
	e := d.entries[strings.ToLower(d.arg(r).Path)]
	if e == nil {
		conflict(w, "path", "not_found")
		return
	}
	answerJSON(w, e)
}

func (d *dropboxServer) mkdir(w http.ResponseWriter, r *http.Request) {
	a := d.arg(r)
	if d.entries[strings.ToLower(a.Path)] != nil {
		conflict(w, "path", "conflict")
		return
	}
	e := &dropboxEntry{Tag: "folder", Display: a.Path}
	d.keep(e)
	answerJSON(w, map[string]any{"metadata": e})
}

func (d *dropboxServer) remove(w http.ResponseWriter, r *http.Request) {
	lower := strings.ToLower(d.arg(r).Path)
	e := d.entries[lower]
	if e == nil {
		conflict(w, "path_lookup", "not_found")
		return
	}
	for at := range d.entries {
		if at == lower || strings.HasPrefix(at, lower+"/") {
			delete(d.entries, at)
		}
	}
	answerJSON(w, map[string]any{"metadata": e})
}

func (d *dropboxServer) start(w http.ResponseWriter, _ *http.Request) {
	id := "session" + strconv.Itoa(len(d.sessions))
	d.sessions[id] = []byte{}
	answerJSON(w, map[string]string{"session_id": id})
}

func (d *dropboxServer) append(_ http.ResponseWriter, r *http.Request) {
	var at struct {
		SessionID string `json:"session_id"`
		Offset    int
	}
	_ = json.Unmarshal(d.arg(r).Cursor, &at)
	content, _ := io.ReadAll(r.Body)
	if at.Offset != len(d.sessions[at.SessionID]) {
		d.violations = append(d.violations, "append at a wrong offset")
	}
	d.sessions[at.SessionID] = append(d.sessions[at.SessionID], content...)
}

func (d *dropboxServer) finish(w http.ResponseWriter, r *http.Request) {
	entries := []any{}
	for _, one := range d.arg(r).Entries {
		content := d.sessions[one.Cursor.SessionID]
		if one.Cursor.Offset != len(content) {
			d.violations = append(d.violations, "commit at a wrong offset")
		}
		e := *d.put(one.Commit.Path, content, one.Commit.ClientModified)
		e.Tag = "success"
		entries = append(entries, e)
	}
	answerJSON(w, map[string]any{"entries": entries})
}

func (d *dropboxServer) download(w http.ResponseWriter, r *http.Request) {
	e := d.entries[strings.ToLower(d.arg(r).Path)]
	if e == nil {
		e = d.byID(d.arg(r).Path)
	}
	if e == nil {
		conflict(w, "path", "not_found")
		return
	}
	about, _ := json.Marshal(e)
	w.Header().Set("Dropbox-API-Result", string(about))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(e.content))
}

func (d *dropboxServer) byID(id string) *dropboxEntry {
	for _, e := range d.entries {
		if e.ID == id {
			return e
		}
	}
	return nil
}

func (d *dropboxServer) tree() files {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := files{}
	for _, e := range d.entries {
		if e.Tag == "file" {
			found[strings.TrimPrefix(e.Display, "/")] = string(e.content)
		}
	}
	return found
}

func TestDropboxThereAndBack(t *testing.T) {
	t.Parallel()
	d := startDropbox(t)
	src := files{"a": "1", "sub/b ü.txt": "22", "sub/deep/c": "3"}
	src.write(t, d.root+"/src")
	d.put("/backup/old", []byte("x"), "2020-01-01T00:00:00Z")
	d.put("/neighbour", []byte("x"), "2020-01-01T00:00:00Z")
	s := d.begin(t)
	up := func() (Result, []FileEvent, error) {
		return d.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, d.config(), "/backup"),
			func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
	}
	if result, _, err := up(); err != nil || result.Copied != 3 || result.Deleted != 1 {
		t.Fatalf("up: %+v, %v", result, err)
	}
	want := files{"neighbour": "x"}
	for name, content := range src {
		want["backup/"+name] = content
	}
	d.tree().equal(t, want)
	if result, _, err := up(); err != nil || result != (Result{Found: 3, Skipped: 3}) {
		t.Fatalf("again: %+v, %v", result, err)
	}
	if _, _, err := d.sync(t, s, mustOpen(t, s, d.config(), "/backup"), mustOpen(t, s, local("b"), "/back"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, d.root+"/back").equal(t, src)
}
