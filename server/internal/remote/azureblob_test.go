package remote

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // Azure's checksum
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/task"
)

const (
	azureAccount   = "teststore"
	azureKey       = "VE9QU0VDUkVULWtleS1vZi1hLXN0b3JhZ2UtYWNjb3VudA=="
	azureSASSign   = "TOPSECRET/signature+of=a url"
	azureContainer = "cont"
)

// azureServer is Azure Blob Storage as far as a sync uses it, with one account
// and one container. Every request must be signed by the account's key, as
// Microsoft documents it, or have the shared access signature. A page of a list
// has two entries.
type azureServer struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	blobs  map[string]azureBlob
	blocks map[string][]byte
	pages  int
	// refused counts answers of 403.
	refused int
}

type azureBlob struct {
	content []byte
	mtime   string
}

func startAzure(t *testing.T) *azureServer {
	t.Helper()
	s := &azureServer{t: t, blobs: map[string]azureBlob{}, blocks: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// config is a configuration with the account's key.
func (s *azureServer) config(key string) task.RemoteConfig {
	return task.RemoteConfig{ResourceID: 7, Name: "cloud", Type: typeAzure, Options: map[string]string{
		"account": azureAccount, "key": key, "endpoint": s.URL + "/" + azureAccount}}
}

// ServeHTTP implements http.Handler.
func (s *azureServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("X-Ms-Version", r.Header.Get("X-Ms-Version"))
	if !s.signed(r) {
		s.refused++
		azureError(w, http.StatusForbidden, "AuthenticationFailed")
		return
	}
	query := r.URL.Query()
	if query.Get("comp") == "properties" && query.Get("restype") == "account" {
		w.Header().Set("X-Ms-Is-Hns-Enabled", "false")
		return
	}
	container, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"+azureAccount+"/"), "/")
	switch {
	case container != azureContainer:
		azureError(w, http.StatusNotFound, "ContainerNotFound")
	case name == "" && query.Get("comp") == "list":
		s.list(w, query)
	case name == "":
		azureError(w, http.StatusBadRequest, "InvalidUri") // nothing else is done to a container
	case r.Method == http.MethodPut:
		s.put(w, r, name)
	default:
		s.blob(w, r, name)
	}
}

func azureError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

// signed checks the shared access signature or the shared key's signature.
func (s *azureServer) signed(r *http.Request) bool {
	if sig := r.URL.Query().Get("sig"); sig != "" {
		return sig == azureSASSign && r.Header.Get("Authorization") == ""
	}
	var headers, resource []string
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			headers = append(headers, name+":"+values[0]+"\n")
		}
	}
	for name, values := range r.URL.Query() {
		slices.Sort(values)
		resource = append(resource, "\n"+strings.ToLower(name)+":"+strings.Join(values, ","))
	}
	slices.Sort(headers)
	slices.Sort(resource)
	length := r.Header.Get("Content-Length")
	if r.ContentLength > 0 {
		length = fmt.Sprint(r.ContentLength)
	}
	lines := []string{r.Method, r.Header.Get("Content-Encoding"), r.Header.Get("Content-Language"), length}
	for _, name := range []string{"Content-Md5", "Content-Type", "Date", "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"} {
		lines = append(lines, r.Header.Get(name))
	}
	text := strings.Join(lines, "\n") + "\n" + strings.Join(headers, "") + "/" + azureAccount + r.URL.EscapedPath() + strings.Join(resource, "")
	key, _ := base64.StdEncoding.DecodeString(azureKey)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return r.Header.Get("Authorization") == "SharedKey "+azureAccount+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// list answers one page.
func (s *azureServer) list(w http.ResponseWriter, query url.Values) {
	s.pages++
	var names []string
	seen := map[string]bool{}
	for name := range s.blobs {
		rest, in := strings.CutPrefix(name, query.Get("prefix"))
		if folder, _, below := strings.Cut(rest, "/"); below && query.Get("delimiter") == "/" {
			name = query.Get("prefix") + folder + "/"
		}
		if in && !seen[name] && name > query.Get("marker") {
			seen[name], names = true, append(names, name)
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > 2 {
		names, next = names[:2], names[1]
	}
	var entries strings.Builder
	for _, name := range names {
		var text strings.Builder
		_ = xml.EscapeText(&text, []byte(name))
		if strings.HasSuffix(name, "/") {
			fmt.Fprintf(&entries, "<BlobPrefix><Name>%s</Name></BlobPrefix>", &text)
			continue
		}
		b := s.blobs[name]
		sum := md5.Sum(b.content) //nolint:gosec // as above
		fmt.Fprintf(&entries, "<Blob><Name>%s</Name><Properties><Last-Modified>Fri, 02 Jan 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag>"+
			"<Content-Length>%d</Content-Length><Content-Type>text/plain</Content-Type><Content-MD5>%s</Content-MD5><BlobType>BlockBlob</BlobType>"+
			"<AccessTier>Hot</AccessTier></Properties><Metadata><mtime>%s</mtime></Metadata></Blob>",
			&text, len(b.content), base64.StdEncoding.EncodeToString(sum[:]), b.mtime)
	}
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>%s</Blobs><NextMarker>%s</NextMarker></EnumerationResults>`, &entries, next)
}

// put takes a blob, a block, or the list of a blob's blocks.
func (s *azureServer) put(w http.ResponseWriter, r *http.Request, name string) {
	content, err := io.ReadAll(r.Body)
	if err != nil || int64(len(content)) != r.ContentLength {
		azureError(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	query := r.URL.Query()
	switch {
	case query.Get("comp") == "block":
		s.blocks[name+query.Get("blockid")] = content
		w.WriteHeader(http.StatusCreated)
		return
	case query.Get("comp") == "blocklist":
		var list struct{ Latest, Uncommitted []string }
		if err := xml.Unmarshal(content, &list); err != nil {
			azureError(w, http.StatusBadRequest, "InvalidXmlDocument")
			return
		}
		content = nil
		for _, id := range append(list.Latest, list.Uncommitted...) {
			block, ok := s.blocks[name+id]
			if !ok {
				azureError(w, http.StatusBadRequest, "InvalidBlockList")
				return
			}
			content = append(content, block...)
		}
	case query.Get("comp") != "" || r.Header.Get("X-Ms-Blob-Type") != "BlockBlob":
		azureError(w, http.StatusBadRequest, "InvalidHeaderValue")
		return
	}
	s.blobs[name] = azureBlob{content, r.Header.Get("X-Ms-Meta-Mtime")}
	w.Header().Set("Etag", `"0x1"`)
	w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 00:00:00 GMT")
	w.WriteHeader(http.StatusCreated)
}

func (s *azureServer) blob(w http.ResponseWriter, r *http.Request, name string) {
	b, ok := s.blobs[name]
	if !ok {
		azureError(w, http.StatusNotFound, "BlobNotFound")
		return
	}
	if r.Method == http.MethodDelete {
		delete(s.blobs, name)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	sum := md5.Sum(b.content) //nolint:gosec // as above
	for header, value := range map[string]string{"Content-MD5": base64.StdEncoding.EncodeToString(sum[:]), "Etag": `"0x1"`, "X-Ms-Blob-Type": "BlockBlob",
		"X-Ms-Meta-Mtime": b.mtime, "Last-Modified": "Fri, 02 Jan 2026 00:00:00 GMT", "Content-Type": "text/plain"} {
		w.Header().Set(header, value)
	}
	content := b.content
	if span := r.Header.Get("X-Ms-Range"); span != "" {
		var from, to int
		if n, _ := fmt.Sscanf(span, "bytes=%d-%d", &from, &to); n == 2 {
			content = content[from:min(to+1, len(content))]
		} else if n == 1 {
			content = content[from:]
		}
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(content)
	}
}

func (s *azureServer) files() files {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := files{}
	for name, b := range s.blobs {
		found[name] = string(b.content)
	}
	return found
}

func TestAzureThereAndBack(t *testing.T) {
	t.Parallel()
	server := startAzure(t)
	thereAndBack(t, server.config(azureKey), azureContainer, server.files)
	if server.pages < 10 {
		t.Errorf("%d pages of lists: were they followed?", server.pages)
	}
	if server.refused != 0 {
		t.Errorf("%d requests were signed wrongly", server.refused)
	}
}

func TestAzureByASignature(t *testing.T) {
	t.Parallel()
	server := startAzure(t)
	cfg := server.config("")
	cfg.Options = map[string]string{"sas_url": server.URL + "/" + azureAccount + "?sv=2024-11-04&se=2027-01-01T00%3A00%3A00Z&sig=" + url.QueryEscape(azureSASSign)}
	thereAndBack(t, cfg, azureContainer, server.files)
}

// thereAndBack syncs to a bucket and back, a large file among the others, and
// what has changed; and finds nothing to do when nothing has.
func thereAndBack(t *testing.T, cloud task.RemoteConfig, bucket string, stored func() files) {
	t.Helper()
	b := setupTest(t)
	src := files{"a": "1", "c": "1", "d": "1", "sub/b ü&<.txt": "22", "sub/deep/c": strings.Repeat("3", 10000), "large": strings.Repeat("0123456789abcdef", 6<<16)}
	src.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	want := func(change func(), to Result) {
		t.Helper()
		change()
		result, events, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cloud, "/"+bucket+"/backup"), nil)
		result.Bytes = 0
		if err != nil || result != to {
			t.Fatalf("%+v, %v, want %+v: %v", result, err, to, events)
		}
	}
	want(func() {}, Result{Found: 6, Copied: 6})
	up := files{}
	for name, content := range src {
		up["backup/"+name] = content
	}
	stored().equal(t, up)
	want(func() {}, Result{Found: 6, Skipped: 6})
	want(func() { files{"a": "11"}.write(t, b.root+"/src") }, Result{Found: 6, Updated: 1, Skipped: 5})
	src["a"] = "11"
	if _, _, err := b.sync(t, s, mustOpen(t, s, cloud, "/"+bucket+"/backup"), mustOpen(t, s, local("a"), "/back"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/back").equal(t, src)
	want(func() { remove(t, b.root+"/src", "sub/deep/c") }, Result{Found: 5, Deleted: 1, Skipped: 5})
	if got := stored(); len(got) != 5 {
		t.Errorf("stored are %d files, want 5", len(got))
	}
	if _, _, err := b.sync(t, s, mustOpen(t, s, cloud, "/"+bucket+"/typo"), mustOpen(t, s, local("a"), "/back"), nil); reason(err) != ReasonSourceEmpty {
		t.Errorf("a source that is not there: %v", err)
	}
	if b.dials.Load() == 0 {
		t.Error("no connection went through the gate")
	}
	if text := b.log.String(); strings.Contains(text, "TOPSECRET") || strings.Contains(text, azureKey) || strings.Contains(text, url.QueryEscape(azureSASSign)) {
		t.Errorf("the log holds a secret:\n%s", text)
	}
}

func TestAzureRefusals(t *testing.T) {
	t.Parallel()
	server := startAzure(t)
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	open := func(cfg task.RemoteConfig, path string) error {
		to, err := s.Open(cfg, path)
		if err == nil {
			_, _, err = b.sync(t, s, mustOpen(t, s, local("a"), "/src"), to, nil)
		}
		return err
	}
	err := open(server.config(base64.StdEncoding.EncodeToString([]byte("another key"))), "/cont/x")
	wantReason(t, err, "REAUTH_REQUIRED")
	if !strings.Contains(err.Error(), "the service answered 403 AuthenticationFailed") {
		t.Errorf("the text is %q", err)
	}
	wantReason(t, open(server.config(azureKey), "/missing/x"), ReasonDestMissing)
	wantReason(t, open(server.config(azureKey), "/"), ReasonNoBucket)
	if len(server.files()) != 0 {
		t.Errorf("stored: %v", server.files())
	}
}

// The library can log in as the host, by files of the host's or by its metadata
// server, past the gate: none of that can be stored, and none is used if it is.
func TestCloudsNeverUseTheHostsIdentity(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	for _, cfg := range []task.RemoteConfig{startAzure(t).config(azureKey), startGCS(t).config()} {
		info, err := fs.Find(kinds[cfg.Type].backend)
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, option := range info.Options {
			if _, ours := kinds[cfg.Type].keys[option.Name]; ours {
				continue
			}
			tried++
			raw := object{"type": cfg.Type, option.Name: "true"}
			bad := cfg
			bad.Options = map[string]string{option.Name: "true"}
			for name, value := range cfg.Options {
				raw[name], bad.Options[name] = value, value
			}
			if _, _, err := ParseConfig("x", raw); err == nil {
				t.Errorf("%s: %s can be stored", cfg.Type, option.Name)
			}
			if _, err := b.session(t.Context(), t).Open(bad, "/cont/x"); err == nil {
				t.Errorf("%s: %s is used", cfg.Type, option.Name)
			}
		}
		if tried < 10 {
			t.Errorf("%s: only %d options tried", cfg.Type, tried)
		}
	}
	for _, name := range []string{"env_auth", "use_msi", "msi_client_id", "use_az", "use_emulator", "connection_string", "service_principal_file", "service_account_file"} {
		if !isDangerous(name) {
			t.Errorf("%s is not called dangerous", name)
		}
	}
}

func TestAzureExpiryAndAccount(t *testing.T) {
	t.Parallel()
	const sas = "https://teststore.blob.core.windows.net/cont?se=2027-01-01T00%3A00%3A00Z&sig=x"
	account, expiry := Facts(typeAzure, map[string]string{"sas_url": sas}, time.Now())
	if want := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC); !expiry.Credentials.Equal(want) {
		t.Errorf("expires %v, want %v", expiry.Credentials, want)
	}
	if other, _ := Facts(typeAzure, map[string]string{"account": "teststore", "key": "x"}, time.Now()); other != account {
		t.Error("one account looks like two")
	}
	if other, _ := Facts(typeAzure, map[string]string{"account": "another", "key": "x"}, time.Now()); other == account {
		t.Error("two accounts look like one")
	}
}
