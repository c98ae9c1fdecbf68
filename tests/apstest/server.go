package apstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Operations, by which faults are injected and requests counted.
const (
	OpToken          = "POST token"
	OpTopFolders     = "GET topFolders"
	OpContents       = "GET contents"
	OpCreateFolder   = "POST folders"
	OpPatchFolder    = "PATCH folders"
	OpStorage        = "POST storage"
	OpCreateItem     = "POST items"
	OpGetItem        = "GET items"
	OpCreateVersion  = "POST versions"
	OpSignUpload     = "GET signeds3upload"
	OpCompleteUpload = "POST signeds3upload"
	OpSignDownload   = "GET signeds3download"
	OpPutPart        = "PUT part"
	OpGetObject      = "GET object"
)

// ossLimit is shared by all operations of OSS.
const ossLimit = "OSS"

// limits are the documented numbers of requests per minute and app.
var limits = map[string]int{
	OpToken: 500, OpTopFolders: 300, OpContents: 300, OpCreateFolder: 50, OpPatchFolder: 50, OpStorage: 300,
	OpCreateItem: 50, OpGetItem: 300, OpCreateVersion: 300, ossLimit: 1000,
}

// Options change what is not documented as fixed. The zero value is the
// service as documented.
type Options struct {
	// ClientID and ClientSecret are the app's; there are defaults.
	ClientID, ClientSecret string
	// RateFactor multiplies every limit; 0 means 1.
	RateFactor float64
	// Minute is the window of the limits; 0 means a minute.
	Minute time.Duration
	// MinPart is the least size of a part but the last, in bytes; 0 means 5 MiB.
	MinPart int64
	// NoSHA1 leaves the checksum out of what is told of content.
	NoSHA1 bool
	// TokenTTL is how long access tokens live; 0 means 3599 seconds.
	TokenTTL time.Duration
	// Now is the service's clock; nil means the machine's.
	Now func() time.Time
}

// Server is a running fake with one hub and one project, whose top folders are
// "Project Files" and "Plans". It is safe for concurrent use.
type Server struct {
	// URL is what clients call the endpoint.
	URL string
	// HubID and ProjectID are the ids with their prefix "b.".
	HubID, ProjectID string

	options Options
	// storage is the host of signed URLs, which is another one than the API's.
	storage *httptest.Server

	mu         sync.Mutex
	grants     map[string]*grant // by refresh token
	access     map[string]access // by access token
	folders    map[string]*folder
	items      map[string]*item
	versions   map[string]*version
	objects    map[string]*object
	uploads    map[string]*upload
	root       *folder
	windows    map[string]*window
	faults     []*Fault
	requests   map[string]int
	violations []string
	serial     int
}

// Start runs a fake until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := newServer(o)
	s.storage = httptest.NewServer(s.storageRoutes())
	api := httptest.NewServer(s.apiRoutes())
	s.URL = api.URL
	t.Cleanup(func() { api.Close(); s.storage.Close() })
	return s
}

func newServer(o Options) *Server {
	if o.ClientID == "" {
		o.ClientID, o.ClientSecret = "aps-client-id", "aps-CLIENT-SECRET"
	}
	if o.RateFactor == 0 {
		o.RateFactor = 1
	}
	if o.Minute == 0 {
		o.Minute = time.Minute
	}
	if o.MinPart == 0 {
		o.MinPart = 5 << 20
	}
	if o.TokenTTL == 0 {
		o.TokenTTL = 3599 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		HubID: "b.2b7f5a1c-hub", ProjectID: "b.0b550c1d-project", options: o,
		grants: map[string]*grant{}, access: map[string]access{}, folders: map[string]*folder{}, items: map[string]*item{},
		versions: map[string]*version{}, objects: map[string]*object{}, uploads: map[string]*upload{},
		windows: map[string]*window{}, requests: map[string]int{},
	}
	s.plant()
	return s
}

func (s *Server) apiRoutes() http.Handler {
	mux := http.NewServeMux()
	data := "/data/v1/projects/{project}/"
	oss := "/oss/v2/buckets/{bucket}/objects/{object}/"
	mux.HandleFunc("POST /authentication/v2/token", s.serveToken)
	mux.HandleFunc("GET /project/v1/hubs/{hub}/projects/{project}/topFolders", s.api(OpTopFolders, "data:read", s.topFolders))
	mux.HandleFunc("GET "+data+"folders/{folder}/contents", s.api(OpContents, "data:read", s.contents))
	mux.HandleFunc("POST "+data+"folders", s.api(OpCreateFolder, "data:create", s.createFolder))
	mux.HandleFunc("PATCH "+data+"folders/{folder}", s.api(OpPatchFolder, "data:write", s.patchFolder))
	mux.HandleFunc("POST "+data+"storage", s.api(OpStorage, "data:create", s.createStorage))
	mux.HandleFunc("POST "+data+"items", s.api(OpCreateItem, "data:create", s.createItem))
	mux.HandleFunc("GET "+data+"items/{item}", s.api(OpGetItem, "data:read", s.getItem))
	mux.HandleFunc("POST "+data+"versions", s.api(OpCreateVersion, "data:create", s.createVersion))
	mux.HandleFunc("GET "+oss+"signeds3upload", s.api(OpSignUpload, "data:create", s.signUpload))
	mux.HandleFunc("POST "+oss+"signeds3upload", s.api(OpCompleteUpload, "data:create", s.completeUpload))
	mux.HandleFunc("GET "+oss+"signeds3download", s.api(OpSignDownload, "data:read", s.signDownload))
	return mux
}

// refusal is an answer of the service that is not a success.
type refusal struct {
	status     int
	code       string
	detail     string
	retryAfter time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.code, r.detail) }

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, detail: fmt.Sprintf(format, args...)}
}

// answer is what a handler gives back. Handlers run with s.mu held.
type answer struct {
	status int
	body   any
}

// call is a request whose token and body were read.
type call struct {
	*http.Request
	body document
}

// api wraps a handler with what all calls have in common.
func (s *Server) api(op, scope string, handle func(*call) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := s.begin(op)
		if !f.before(w, r) {
			return
		}
		c := &call{Request: r}
		err := c.read(op)
		s.mu.Lock()
		var got answer
		if err == nil {
			err = s.admit(r, op, scope)
		}
		if err == nil {
			got, err = handle(c)
		}
		s.mu.Unlock()
		if f.lost(w) {
			return
		}
		if err != nil {
			writeRefusal(w, err)
			return
		}
		w.Header().Set("Content-Type", contentType(r))
		w.WriteHeader(got.status)
		_ = json.NewEncoder(w).Encode(got.body)
	}
}

// contentType is JSON:API's, but OSS speaks plain JSON.
func contentType(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/oss/") {
		return "application/json"
	}
	return "application/vnd.api+json"
}

// read reads and checks a body.
func (c *call) read(op string) error {
	if c.Method == http.MethodGet {
		return nil
	}
	if got, want := c.Header.Get("Content-Type"), contentType(c.Request); got != want {
		return refuse(http.StatusUnsupportedMediaType, "BAD_INPUT", "Content-Type is %q, must be %q", got, want)
	}
	if err := json.NewDecoder(c.Request.Body).Decode(&c.body); err != nil {
		return refuse(http.StatusBadRequest, "BAD_INPUT", "the body is no JSON: %v", err)
	}
	if op == OpCompleteUpload {
		return nil
	}
	if c.body.JSONAPI.Version != "1.0" {
		return refuse(http.StatusBadRequest, "BAD_INPUT", "jsonapi.version is missing")
	}
	if c.body.Data.Type == "" {
		return refuse(http.StatusBadRequest, "BAD_INPUT", "data.type is missing")
	}
	return nil
}

// admit checks the token, the limit and the ids of the path.
func (s *Server) admit(r *http.Request, op, scope string) error {
	app, err := s.authorize(r, scope)
	if err != nil {
		return err
	}
	class := op
	if strings.HasPrefix(r.URL.Path, "/oss/") {
		class = ossLimit
	}
	if err := s.spend(class, app); err != nil {
		return err
	}
	if hub := r.PathValue("hub"); hub != "" && hub != s.HubID {
		return refuse(http.StatusNotFound, "NOT_FOUND", "there is no hub %q", hub)
	}
	if project := r.PathValue("project"); project != "" && project != s.ProjectID {
		return refuse(http.StatusNotFound, "NOT_FOUND", "there is no project %q", project)
	}
	return nil
}

// window counts the requests of a class and an app in one minute.
type window struct {
	ends  time.Time
	count int
}

// spend takes one request from the limit of a class.
func (s *Server) spend(class, app string) error {
	now := s.options.Now()
	w := s.windows[class+" "+app]
	if w == nil || !now.Before(w.ends) {
		w = &window{ends: now.Add(s.options.Minute)}
		s.windows[class+" "+app] = w
	}
	w.count++
	if limit := float64(limits[class]) * s.options.RateFactor; float64(w.count) > limit {
		s.violations = append(s.violations, fmt.Sprintf("%s: more than %v requests in %v", class, limit, s.options.Minute))
		return &refusal{status: http.StatusTooManyRequests, code: "RATE_LIMIT", detail: "Quota limit exceeded.", retryAfter: w.ends.Sub(now)}
	}
	return nil
}

func writeRefusal(w http.ResponseWriter, err error) {
	r := refuse(http.StatusInternalServerError, "INTERNAL", "%v", err)
	errors.As(err, &r)
	if r.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((r.retryAfter+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/vnd.api+json")
	w.WriteHeader(r.status)
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonapi": map[string]string{"version": "1.0"}, "errors": []map[string]string{
		{"status": strconv.Itoa(r.status), "code": r.code, "title": http.StatusText(r.status), "detail": r.detail}}})
}

// id makes a new id.
func (s *Server) id(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s%06d-fake", prefix, s.serial)
}

// Requests tells how many calls of an operation there were, refused ones too.
func (s *Server) Requests(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[op]
}

// Violations are what a well-behaved client does not do: exceeding a limit,
// using a refresh token twice, sending a bearer token to a signed URL.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}
