package remote

import (
	"crypto"
	"crypto/md5" //nolint:gosec // Google's checksum
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/rclone/fs/fshttp"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	gcsBucket = "buck"
	gcsToken  = "TOPSECRET-access-token"
)

// gcsServer is Google Cloud Storage's JSON API and Google's token server, as
// far as a sync uses them, with one bucket. A token is given for an assertion
// that the service account has signed, and wanted by every other request. A
// page of a list has two entries.
type gcsServer struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu      sync.Mutex
	objects map[string]gcsObject
	uploads map[string]*gcsUpload
	pages   int
	tokens  int
	// banned lets the token server refuse the account.
	banned bool
}

type gcsObject struct {
	content  []byte
	metadata map[string]string
}

type gcsUpload struct {
	name     string
	metadata map[string]string
	content  []byte
}

func startGCS(t *testing.T) *gcsServer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &gcsServer{key: key, objects: map[string]gcsObject{}, uploads: map[string]*gcsUpload{}}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /token", s.token)
	api := http.NewServeMux()
	api.HandleFunc("GET /storage/v1/b/{bucket}/o", s.list)
	api.HandleFunc("GET /storage/v1/b/{bucket}/o/{name}", s.get)
	api.HandleFunc("DELETE /storage/v1/b/{bucket}/o/{name}", s.remove)
	api.HandleFunc("GET /download/storage/v1/b/{bucket}/o/{name}", s.download)
	api.HandleFunc("POST /upload/storage/v1/b/{bucket}/o", s.insert)
	api.HandleFunc("PUT /upload/storage/v1/b/{bucket}/o", s.resume)
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+gcsToken:
			gcsError(w, http.StatusUnauthorized)
		case !strings.Contains(r.URL.Path, "/b/"+gcsBucket+"/"):
			gcsError(w, http.StatusNotFound)
		default:
			api.ServeHTTP(w, r)
		}
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		routes.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// config is that of a service account.
func (s *gcsServer) config() task.RemoteConfig {
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(s.key)})
	account, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "robot@project.example", "private_key_id": "key-1",
		"private_key": string(private), "token_uri": s.URL + "/token"})
	return task.RemoteConfig{ResourceID: 7, Name: "cloud", Type: typeGCS, Options: map[string]string{
		"service_account_credentials": string(account), "endpoint": s.URL + "/storage/v1/"}}
}

func gcsError(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":"no"}}`, status)
}

// token checks the assertion (RFC 7523).
func (s *gcsServer) token(w http.ResponseWriter, r *http.Request) {
	s.tokens++
	parts := strings.Split(r.FormValue("assertion"), ".")
	w.Header().Set("Content-Type", "application/json")
	refuse := func() {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
	}
	if len(parts) != 3 || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || s.banned {
		refuse()
		return
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Iss, Aud, Scope string
		Exp             int64
	}
	if rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], signature) != nil || json.Unmarshal(text, &claims) != nil ||
		claims.Iss != "robot@project.example" || claims.Aud != s.URL+"/token" || claims.Scope == "" || time.Unix(claims.Exp, 0).Before(time.Now()) {
		refuse()
		return
	}
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3599}`, gcsToken)
}

func (s *gcsServer) answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func (s *gcsServer) describe(name string) object {
	o := s.objects[name]
	sum := md5.Sum(o.content) //nolint:gosec // as above
	return object{"kind": "storage#object", "name": name, "bucket": gcsBucket, "size": fmt.Sprint(len(o.content)), "contentType": "text/plain",
		"md5Hash": base64.StdEncoding.EncodeToString(sum[:]), "updated": "2026-01-02T00:00:00Z", "metadata": o.metadata,
		"mediaLink": s.URL + "/download/storage/v1/b/" + gcsBucket + "/o/" + url.PathEscape(name) + "?alt=media"}
}

func (s *gcsServer) list(w http.ResponseWriter, r *http.Request) {
	s.pages++
	query := r.URL.Query()
	var names []string
	seen := map[string]bool{}
	for name := range s.objects {
		rest, in := strings.CutPrefix(name, query.Get("prefix"))
		if folder, _, below := strings.Cut(rest, "/"); below && query.Get("delimiter") == "/" {
			name = query.Get("prefix") + folder + "/"
		}
		if in && !seen[name] && name > query.Get("pageToken") {
			seen[name], names = true, append(names, name)
		}
	}
	slices.Sort(names)
	page := object{"kind": "storage#objects"}
	if len(names) > 2 {
		names = names[:2]
		page["nextPageToken"] = names[1]
	}
	var items []object
	var prefixes []string
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			prefixes = append(prefixes, name)
		} else {
			items = append(items, s.describe(name))
		}
	}
	page["items"], page["prefixes"] = items, prefixes
	s.answer(w, page)
}

func (s *gcsServer) get(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.objects[r.PathValue("name")]; !ok {
		gcsError(w, http.StatusNotFound)
		return
	}
	s.answer(w, s.describe(r.PathValue("name")))
}

func (s *gcsServer) remove(w http.ResponseWriter, r *http.Request) {
	delete(s.objects, r.PathValue("name"))
	w.WriteHeader(http.StatusNoContent)
}

func (s *gcsServer) download(w http.ResponseWriter, r *http.Request) {
	o, ok := s.objects[r.PathValue("name")]
	if !ok {
		gcsError(w, http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(o.content)))
}

// insert takes a whole object, or begins an upload in parts.
func (s *gcsServer) insert(w http.ResponseWriter, r *http.Request) {
	var about struct {
		Name     string
		Metadata map[string]string
	}
	query := r.URL.Query()
	if query.Get("uploadType") == "resumable" {
		if json.NewDecoder(r.Body).Decode(&about) != nil {
			gcsError(w, http.StatusBadRequest)
			return
		}
		id := fmt.Sprint(len(s.uploads))
		s.uploads[id] = &gcsUpload{name: nameOf(query, about.Name), metadata: about.Metadata}
		w.Header().Set("Location", s.URL+r.URL.Path+"?uploadType=resumable&upload_id="+id)
		return
	}
	_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || query.Get("uploadType") != "multipart" {
		gcsError(w, http.StatusBadRequest)
		return
	}
	parts := multipart.NewReader(r.Body, parameters["boundary"])
	first, err := parts.NextPart()
	if err != nil || json.NewDecoder(first).Decode(&about) != nil {
		gcsError(w, http.StatusBadRequest)
		return
	}
	second, err := parts.NextPart()
	if err != nil {
		gcsError(w, http.StatusBadRequest)
		return
	}
	content, err := io.ReadAll(second)
	if err != nil {
		gcsError(w, http.StatusBadRequest)
		return
	}
	name := nameOf(query, about.Name)
	s.objects[name] = gcsObject{content, about.Metadata}
	s.answer(w, s.describe(name))
}

func nameOf(query url.Values, name string) string {
	if name == "" {
		return query.Get("name")
	}
	return name
}

// resume takes one part; the object appears with the last one.
func (s *gcsServer) resume(w http.ResponseWriter, r *http.Request) {
	upload := s.uploads[r.URL.Query().Get("upload_id")]
	content, err := io.ReadAll(r.Body)
	if upload == nil || err != nil {
		gcsError(w, http.StatusBadRequest)
		return
	}
	upload.content = append(upload.content, content...)
	if strings.HasSuffix(r.Header.Get("Content-Range"), "/*") {
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(upload.content)-1))
		w.Header().Set("X-Http-Status-Code-Override", "308")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	s.objects[upload.name] = gcsObject{upload.content, upload.metadata}
	s.answer(w, s.describe(upload.name))
}

func (s *gcsServer) files() files {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := files{}
	for name, o := range s.objects {
		found[name] = string(o.content)
	}
	return found
}

func TestGCSThereAndBack(t *testing.T) {
	t.Parallel()
	server := startGCS(t)
	thereAndBack(t, server.config(), gcsBucket, server.files)
	if server.pages < 10 {
		t.Errorf("%d pages of lists: were they followed?", server.pages)
	}
}

func TestGCSRefusals(t *testing.T) {
	t.Parallel()
	server := startGCS(t)
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	open := func(cfg task.RemoteConfig, path string) error {
		s := b.session(t.Context(), t)
		to, err := s.Open(cfg, path)
		if err == nil {
			_, _, err = b.sync(t, s, mustOpen(t, s, local("a"), "/src"), to, nil)
		}
		return err
	}
	wantReason(t, open(server.config(), "/missing/x"), ReasonDestMissing)
	wantReason(t, open(server.config(), "/"), ReasonNoBucket)
	// A test without a bucket has nothing to ask for, and must not blame the service.
	b.tries(t, server.config(), "", "CONNECT FAILED "+ReasonNoBucket+allSkipped)
	b.tries(t, server.config(), "/"+gcsBucket, "CONNECT OK, LIST OK, WRITE OK, QUOTA SKIPPED NOT_OFFERED")
	server.banned = true
	wantReason(t, open(server.config(), "/"+gcsBucket+"/x"), "REAUTH_REQUIRED")
	if len(server.files()) != 0 {
		t.Errorf("stored: %v", server.files())
	}
}

// Every connection of the two goes through the gate: to a private address, to
// a name that resolves to one, and to the token server.
func TestCloudsAreGuarded(t *testing.T) {
	t.Parallel()
	b := setupAllowing(t, "192.0.2.0/24") // nothing of this machine
	azure, gcs := startAzure(t), startGCS(t)
	files{"a": "1"}.write(t, b.root+"/src")
	azureNamed, azureSigned := azure.config(azureKey), azure.config("")
	azureNamed.Options["endpoint"] = strings.Replace(azureNamed.Options["endpoint"], "127.0.0.1", "localhost", 1)
	azureSigned.Options = map[string]string{"sas_url": "http://169.254.169.254/metadata?sig=TOPSECRET"}
	tests := map[string]task.RemoteConfig{"azure": azure.config(azureKey), "azure by name": azureNamed, "azure by signature": azureSigned, "gcs": gcs.config()}
	for name, cfg := range tests {
		s := b.session(t.Context(), t)
		from := mustOpen(t, s, local("a"), "/src")
		to, err := s.Open(cfg, "/cont/x")
		if err == nil {
			_, _, err = b.sync(t, s, from, to, nil)
		}
		if reason(err) != egress.ReasonDenied {
			t.Errorf("%s: %v, want %s", name, err, egress.ReasonDenied)
		}
	}
	if b.dials.Load() != 0 || gcs.tokens != 0 {
		t.Errorf("%d connections were made, %d tokens asked for", b.dials.Load(), gcs.tokens)
	}
}

// What the library keeps for the whole process serves each session by its own
// tunnel, and nobody without one.
func TestSharedTransportBelongsToSessions(t *testing.T) {
	t.Parallel()
	server := startAzure(t)
	ask := func(b *bundle) error {
		s := b.session(t.Context(), t)
		defer s.Close()
		r, err := s.Open(server.config(azureKey), "/"+azureContainer)
		if err == nil {
			_, err = r.fs.List(s.ctx, "")
		}
		return err
	}
	one, two := setupTest(t), setupTest(t)
	for range 3 {
		for _, b := range []*bundle{one, two} {
			if err := ask(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, m := one.dials.Load(), two.dials.Load(); n < 3 || m < 3 {
		t.Errorf("three sessions made %d and %d connections: they share some", n, m)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := fshttp.NewTransport(t.Context()).RoundTrip(request)
	if err == nil {
		_ = answer.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), errNoSession.Error()) {
		t.Errorf("a request without a session: %v", err)
	}
}
