package remote

import (
	"bytes"
	"cmp"
	"crypto/md5" // what Google computes
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/task"
)

// driveServer is a fake of Google Drive's API, version 3: folders and files
// with ids, names that need not be unique, searches by parent and name, pages,
// uploads in one request, and documents that have neither size nor checksum.
type driveServer struct {
	*cloud
	files map[string]*driveFile
	order []string
	// mute keeps the formats for exports back.
	mute bool
}

type driveFile struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	MimeType string   `json:"mimeType"`
	Parents  []string `json:"parents"`
	Modified string   `json:"modifiedTime"`
	Trashed  bool     `json:"trashed"`
	// Size and MD5 are left out for documents and folders.
	Size string `json:"size,omitempty"`
	MD5  string `json:"md5Checksum,omitempty"`
	// Exports are URLs by MIME type.
	Exports map[string]string `json:"exportLinks,omitempty"`

	content []byte
}

const driveFolder = "application/vnd.google-apps.folder"

func startDrive(t *testing.T) *driveServer {
	t.Helper()
	d := &driveServer{files: map[string]*driveFile{}}
	d.files["root"] = &driveFile{ID: "root", Name: "My Drive", MimeType: driveFolder}
	d.cloud = startCloud(t, func(*cloud) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /drive/v3/about", d.about)
		mux.HandleFunc("GET /export/{id}", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "export of "+d.files[r.PathValue("id")].Name)
		})
		mux.HandleFunc("GET /drive/v3/files", d.search)
		mux.HandleFunc("POST /drive/v3/files", d.create)
		mux.HandleFunc("GET /drive/v3/files/{id}", d.get)
		mux.HandleFunc("PATCH /drive/v3/files/{id}", d.patch)
		mux.HandleFunc("POST /upload/drive/v3/files", d.upload)
		mux.HandleFunc("PATCH /upload/drive/v3/files/{id}", d.upload)
		return mux
	})
	return d
}

func (d *driveServer) config() task.RemoteConfig {
	return task.RemoteConfig{ResourceID: 7, Name: "drive", Type: "drive", Options: map[string]string{
		"client_id": "id", "client_secret": "secret-DRIVE", "scope": "drive", "token": `{"access_token":"` + cloudToken + `"}`}}
}

// add makes a file, at the path's last folder.
func (d *driveServer) add(f driveFile, at string) *driveFile {
	parent := "root"
	for _, name := range strings.Split(path.Dir(at), "/") {
		if name == "." {
			break
		}
		if i := slices.IndexFunc(d.order, func(id string) bool {
			return d.files[id].Name == name && slices.Contains(d.files[id].Parents, parent)
		}); i >= 0 {
			parent = d.order[i]
			continue
		}
		parent = d.keep(driveFile{Name: name, MimeType: driveFolder, Parents: []string{parent}}).ID
	}
	f.Name, f.Parents = path.Base(at), []string{parent}
	return d.keep(f)
}

func (d *driveServer) keep(f driveFile) *driveFile {
	f.ID = fmt.Sprintf("id%d", len(d.files))
	if f.Modified == "" {
		f.Modified = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	}
	d.files[f.ID], d.order = &f, append(d.order, f.ID)
	return &f
}

func (f *driveFile) set(content []byte) {
	sum := md5.Sum(content)
	f.content, f.Size, f.MD5 = content, strconv.Itoa(len(content)), hex.EncodeToString(sum[:])
}

// tree are the contents of what is not in the trash, by path.
func (d *driveServer) tree() files {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := files{}
	for _, id := range d.order {
		f := d.files[id]
		if f.Trashed || f.MimeType == driveFolder {
			continue
		}
		at := f.Name
		for up := d.files[f.Parents[0]]; up.ID != "root"; up = d.files[up.Parents[0]] {
			at = path.Join(up.Name, at)
		}
		found[at] = string(f.content)
	}
	return found
}

var (
	parentRE = regexp.MustCompile(`'([^']+)' in parents`)
	titleRE  = regexp.MustCompile(`name\s*=\s*'((?:[^'\\]|\\.)*)'`)
)

func answerJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

const (
	driveDocument = "application/vnd.google-apps.document"
	docx          = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
)

// addDocument makes a document that can be exported as docx only.
func (d *driveServer) addDocument(at string) {
	f := d.add(driveFile{MimeType: driveDocument}, at)
	f.Exports = map[string]string{docx: "https://docs.google.com/export/" + f.ID}
}

func (d *driveServer) about(w http.ResponseWriter, _ *http.Request) {
	if d.mute {
		http.Error(w, `{"error":{"code":403,"message":"no","errors":[{"reason":"forbidden"}]}}`, http.StatusForbidden)
		return
	}
	answerJSON(w, map[string]any{"exportFormats": map[string][]string{
		driveDocument: {docx}, "application/vnd.google-apps.form": {"application/zip"}}})
}

// search answers two files a page, so that every listing has several.
func (d *driveServer) search(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query().Get("q")
	var parents []string
	for _, match := range parentRE.FindAllStringSubmatch(q, -1) {
		parents = append(parents, match[1])
	}
	if len(parents) == 0 || !strings.Contains(q, "trashed=false") || r.URL.Query().Get("fields") == "" {
		d.violations = append(d.violations, "search without parents, fields or trashed=false: "+q)
	}
	var found []*driveFile
	for _, id := range d.order {
		f := d.files[id]
		named := titleRE.FindStringSubmatch(q)
		if f.Trashed || !slices.ContainsFunc(parents, func(id string) bool { return slices.Contains(f.Parents, id) }) ||
			named != nil && !strings.EqualFold(strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(named[1]), f.Name) ||
			strings.Contains(q, "mimeType='"+driveFolder+"'") && f.MimeType != driveFolder {
			continue
		}
		found = append(found, f)
	}
	first, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	body := map[string]any{"files": found[min(first, len(found)):min(first+2, len(found))]}
	if first+2 < len(found) {
		body["nextPageToken"] = strconv.Itoa(first + 2)
	}
	answerJSON(w, body)
}

func (d *driveServer) get(w http.ResponseWriter, r *http.Request) {
	f := d.files[r.PathValue("id")]
	switch {
	case f == nil:
		http.Error(w, `{"error":{"code":404,"message":"File not found","errors":[{"reason":"notFound"}]}}`, http.StatusNotFound)
	case r.URL.Query().Get("alt") == "media" && f.MD5 == "":
		http.Error(w, `{"error":{"code":403,"message":"Only files with binary content can be downloaded","errors":[{"reason":"fileNotDownloadable"}]}}`, http.StatusForbidden)
	case r.URL.Query().Get("alt") == "media":
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
	default:
		answerJSON(w, f)
	}
}

func (d *driveServer) create(w http.ResponseWriter, r *http.Request) {
	var f driveFile
	_ = json.NewDecoder(r.Body).Decode(&f)
	answerJSON(w, d.keep(f))
}

func (d *driveServer) patch(w http.ResponseWriter, r *http.Request) {
	f := d.files[r.PathValue("id")]
	_ = json.NewDecoder(r.Body).Decode(f)
	answerJSON(w, f)
}

// upload takes a file in one request of the type multipart/related.
func (d *driveServer) upload(w http.ResponseWriter, r *http.Request) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.URL.Query().Get("uploadType") != "multipart" {
		http.Error(w, "only multipart uploads", http.StatusBadRequest)
		return
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	about, _ := parts.NextPart()
	var given driveFile
	_ = json.NewDecoder(about).Decode(&given)
	media, _ := parts.NextPart()
	content, err := io.ReadAll(media)
	if err != nil {
		http.Error(w, "the content is cut off", http.StatusBadRequest)
		return
	}
	f := d.files[r.PathValue("id")]
	if f == nil {
		f = d.keep(given)
	} else {
		f.Modified = cmp.Or(given.Modified, f.Modified)
	}
	f.set(content)
	answerJSON(w, f)
}

func TestDriveThereAndBack(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	src := files{"a": "1", "sub/b ü.txt": "22", "sub/c": "3", "sub/d's": "4"}
	src.write(t, d.root+"/src")
	s := d.begin(t)
	up := func() (Result, []FileEvent, error) {
		return d.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, d.config(), "/backup"), nil)
	}
	if result, _, err := up(); err != nil || result.Copied != 4 {
		t.Fatalf("up: %+v, %v", result, err)
	}
	want := files{}
	for name, content := range src {
		want["backup/"+name] = content
	}
	d.tree().equal(t, want)
	if result, _, err := up(); err != nil || result != (Result{Found: 4, Skipped: 4}) {
		t.Fatalf("again: %+v, %v", result, err)
	}
	if _, _, err := d.sync(t, s, mustOpen(t, s, d.config(), "/backup"), mustOpen(t, s, local("b"), "/back"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, d.root+"/back").equal(t, src)
}

// Documents, and files without a checksum, are counted as skipped and named;
// a mirror neither deletes nor overwrites them.
func TestDriveDocumentsAreSkipped(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	d.add(driveFile{MimeType: "text/plain"}, "s/a").set([]byte("1"))
	d.add(driveFile{MimeType: driveDocument}, "s/plan")
	d.add(driveFile{MimeType: "application/vnd.google-apps.form"}, "s/sub/form")
	d.add(driveFile{MimeType: "video/mp4", Size: "7"}, "s/film.mp4")
	s := d.begin(t)
	result, events, err := d.sync(t, s, mustOpen(t, s, d.config(), "/s"), mustOpen(t, s, local("b"), "/d"), nil)
	if err != nil || result != (Result{Copied: 1, Skipped: 3, Found: 1, Bytes: 1}) {
		t.Fatalf("down: %+v, %v", result, err)
	}
	var skipped []string
	for _, ev := range events {
		if ev.Action == Skipped && ev.Reason == ReasonNotAFile {
			skipped = append(skipped, ev.Path)
		}
	}
	if !slices.Equal(skipped, []string{"film.mp4", "plan", "sub/form"}) {
		t.Errorf("skipped %v", skipped)
	}
	files{"plan": "of the same name"}.write(t, d.root+"/d")
	result, _, err = d.sync(t, s, mustOpen(t, s, local("b"), "/d"), mustOpen(t, s, d.config(), "/s"),
		func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
	wantReason(t, err, ReasonFilesFailed)
	if result.Deleted != 0 || result.Updated != 0 || result.Failed != 1 || !strings.Contains(err.Error(), "not overwritten") {
		t.Fatalf("up: %+v, %v", result, err)
	}
	for _, id := range d.order {
		if f := d.files[id]; f.Trashed || f.MimeType == driveDocument && f.content != nil {
			t.Errorf("%s was deleted or overwritten", f.Name)
		}
	}
}

// With exports the library would drop what none of the formats fits.
func TestDriveDocumentsWithoutAnExportAreTold(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	d.add(driveFile{MimeType: "text/plain"}, "s/a").set([]byte("1"))
	d.addDocument("s/plan")
	d.add(driveFile{MimeType: "application/vnd.google-apps.form"}, "s/sub/form") // has formats, but no wanted one
	d.add(driveFile{MimeType: "application/vnd.google-apps.map"}, "s/map")       // has none at all
	d.add(driveFile{MimeType: "video/mp4", Size: "7"}, "s/film.mp4")
	s, cfg := d.begin(t), d.config()
	cfg.Options["export_formats"] = "docx"
	want := []FileEvent{
		{Skipped, "film.mp4", -1, ReasonNotAFile}, {Skipped, "map", -1, ReasonNotExportable},
		{Skipped, "sub/form", -1, ReasonNotExportable},
	}
	for _, mode := range []Mode{Mirror, Copy, Bisync} {
		to := "/" + string(mode)
		result, events, err := d.sync(t, s, mustOpen(t, s, cfg, "/s"), mustOpen(t, s, local("b"), to), func(r *Request) { r.Mode = mode })
		if err != nil || result.Copied != 2 || result.Skipped != 3 || result.Failed != 0 {
			t.Fatalf("%s: %+v, %v", mode, result, err)
		}
		read(t, d.root+to).equal(t, files{"a": "1", "plan.docx": "export of plan"})
		skipped := slices.DeleteFunc(events, func(ev FileEvent) bool { return ev.Action != Skipped })
		if !slices.Equal(skipped, want) {
			t.Errorf("%s skipped %v, want %v", mode, skipped, want)
		}
	}
}

// An export that the source does not have is still a document of somebody: at a
// destination nothing replaces it and nothing deletes it.
func TestDriveExportsAreNoFilesOfADestination(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	d.addDocument("s/plan")
	d.addDocument("s/gone")
	d.add(driveFile{MimeType: "text/plain"}, "s/old").set([]byte("1"))
	files{"plan.docx": "of the same name", "a": "1"}.write(t, d.root+"/d")
	s, cfg := d.begin(t), d.config()
	cfg.Options["export_formats"] = "docx"
	everything := func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} }
	result, _, err := d.sync(t, s, mustOpen(t, s, local("b"), "/d"), mustOpen(t, s, cfg, "/s"), everything)
	wantReason(t, err, ReasonFilesFailed)
	if result.Failed != 1 || result.Copied != 1 || result.Deleted+result.Updated != 0 {
		t.Errorf("%+v, want one in the way", result)
	}
	remove(t, d.root+"/d", "plan.docx")
	if result, _, err = d.sync(t, s, mustOpen(t, s, local("b"), "/d"), mustOpen(t, s, cfg, "/s"), everything); err != nil || result.Deleted != 1 {
		t.Errorf("%+v, %v; want only the file deleted", result, err)
	}
	for _, id := range d.order {
		if f := d.files[id]; f.MimeType == driveDocument && (f.Trashed || f.content != nil) {
			t.Errorf("%s was deleted or overwritten", f.Name)
		}
	}
}

// The library asks for the formats once per process. When that fails, every
// document would be one without an export, and the mirror delete the exports.
func TestDriveFormatsThatAreNotKnown(t *testing.T) {
	if os.Getenv("REMOTE_TEST_CHILD") == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run=^TestDriveFormatsThatAreNotKnown$", "-test.v")
		cmd.Env = append(os.Environ(), "REMOTE_TEST_CHILD=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "child is done") {
			t.Fatalf("child: %v\n%s", err, out)
		}
		return
	}
	d := startDrive(t)
	d.mute = true
	d.add(driveFile{MimeType: "text/plain"}, "s/a").set([]byte("1"))
	d.addDocument("s/plan")
	d.add(driveFile{MimeType: driveFolder}, "s/empty")
	there := files{"a": "1", "plan.docx": "export of plan"}
	there.write(t, d.root+"/d")
	s, cfg := d.begin(t), d.config()
	cfg.Options["export_formats"] = "docx"
	_, _, err := d.sync(t, s, mustOpen(t, s, cfg, "/s"), mustOpen(t, s, local("b"), "/d"), nil)
	wantReason(t, err, ReasonRemoteFailed)
	if !strings.Contains(err.Error(), "formats that Google exports") {
		t.Errorf("ended with %v", err)
	}
	read(t, d.root+"/d").equal(t, there)
	fmt.Println("child is done")
}
