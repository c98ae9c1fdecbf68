package tests

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/pointscene/carillon/tests/harness"
)

// canaries are texts that must never be seen again once they are sent.
type canaries struct {
	mu    sync.Mutex
	texts map[string]string // text to where it was sent
	// seen is everything that callers were answered.
	seen strings.Builder
}

// sing makes a new canary.
func (c *canaries) sing(where string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := rand.Text()
	c.texts[text] = where
	return text
}

// note keeps what was answered.
func (c *canaries) note(answer any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintln(&c.seen, answer)
}

// spellings are a text as it is, in hex, and in base64 at each of its offsets.
func spellings(text string) []string {
	out := []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text)))}
	for offset := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + text))
		// The ends depend on what stands beside the text.
		out = append(out, encoded[4:len(encoded)-4])
	}
	return out
}

// look fails the test for every canary in a text.
func (c *canaries) look(t *testing.T, place, text string) {
	t.Helper()
	for canary, where := range c.texts {
		for i, spelling := range spellings(canary) {
			if at := strings.Index(text, spelling); at >= 0 {
				t.Errorf("%s holds (spelling %d) what was sent by %s: …%q", place, i, where, text[max(0, at-80):at+len(spelling)])
				break
			}
		}
	}
}

// A stored credential, and one in a request that failed, is seen nowhere.
func TestSecretsAreSeenNowhere(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	leaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A careless server tells what it was sent.
		user, password, _ := r.BasicAuth()
		w.Header().Set("X-Echo", password)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, "<error>wrong password %s of %s: %s</error>", password, user, r.Header.Get("Authorization"))
	}))
	t.Cleanup(leaky.Close)
	server := harness.Start(t, harness.Options{Flags: []string{"--egress-allow", "127.0.0.0/8", "--log-level", "debug", "--drain-timeout", "1s"}})
	tenant := server.NewTenant(t)
	c := &canaries{texts: map[string]string{}}

	storeSecrets(t, c, tenant, leaky.URL)
	failSecrets(t, c, tenant)
	oauthSecrets(t, c, server, tenant)
	for _, remote := range []string{"dav-grpc", "s3-rest"} {
		execution := tenant.Run(t, tenant.Create(t, object{"name": remote}, object{"name": "a", "type": "sync.files",
			"args": object{"resourceId": tenant.Resource, "remotes": []any{remote + ":/bucket/x", "dav-rest:/y"}}}))
		ended := tenant.End(t, execution)
		if ended["state"] != "FAILED" {
			t.Errorf("a sync from %s ended as %v", remote, ended)
		}
		if reason := harness.Text(ended, "error", "reason"); reason == "" {
			t.Errorf("it failed without a reason: %v", ended)
		}
		t.Logf("a sync from %s failed: %v", remote, ended["error"])
		c.note(ended)
		c.note(onAll(t, tenant.Operator, "TailLog", object{"executionId": execution}))
	}
	c.note(onAll(t, tenant.Operator, "GetConfig", object{"resourceId": tenant.Resource}))

	// What is no secret is found: in a file, in an answer and in the log.
	control := rand.Text()
	c.note(harness.Must(t, tenant.Operator.RESTDoor(), "CreateJob", tenant.Job(object{"name": control}, harness.Noop("a"))))
	if _, err := server.As("").HTTP(t.Context(), http.MethodGet, "/v1/instances", "", "X-Request-Id", control); err != nil {
		t.Fatal(err)
	}
	harness.Wait(t, 10*time.Second, "the request is logged", func() bool { return strings.Contains(server.Log(), control) })
	for place, text := range map[string]string{"the answers": c.seen.String(), "the log": server.Log(), "the files": filesOf(t, server.DataDir)} {
		if !strings.Contains(text, control) {
			t.Errorf("%s lack the name of a job: the search finds nothing", place)
		}
		c.look(t, place, text)
	}
	server.Kill(t)
	c.look(t, "the files after a kill", filesOf(t, server.DataDir))
}

// storeSecrets stores credentials through every door.
func storeSecrets(t *testing.T, c *canaries, tenant *harness.Tenant, leakyURL string) {
	t.Helper()
	for _, door := range tenant.Operator.Doors() {
		name := door.Name()
		secret := func() string { return c.sing("AddConfig by " + name) }
		token := `{"access_token":"` + secret() + `","refresh_token":"` + secret() + `","token_type":"Bearer"}`
		config := object{
			"s3-" + name:   object{"type": "s3", "access_key_id": "AK", "secret_access_key": secret(), "session_token": secret(), "endpoint": leakyURL, "provider": "Other", "region": "x"},
			"dav-" + name:  object{"type": "webdav", "url": leakyURL, "user": "u", "pass": secret(), "vendor": "other"},
			"drop-" + name: object{"type": "dropbox", "app_key": "k", "app_secret": secret(), "token": token},
		}
		if name == "graphql-literal" { // whose keys have no hyphens
			config = object{"literal": object{"type": "s3", "access_key_id": "AK", "secret_access_key": secret()}}
		}
		c.note(harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": config}))
	}
}

// failSecrets sends credentials in requests that fail in every way.
func failSecrets(t *testing.T, c *canaries, tenant *harness.Tenant) {
	t.Helper()
	for _, door := range tenant.Operator.Doors() {
		for what, config := range map[string]object{
			"an unknown option":     {"r": with(sound, "colour", c.sing("an unknown option by "+door.Name()))},
			"a forbidden option":    {"r": object{"type": "sftp", "host": "h", "user": "u", "pass": c.sing("a password by " + door.Name()), "ssh": c.sing("a command by " + door.Name())}},
			"an unknown type":       {"r": object{"type": c.sing("a type by " + door.Name())}},
			"a list":                {"r": with(sound, "secret_access_key", []any{c.sing("a list by " + door.Name())})},
			"a text for a remote":   {"r": c.sing("a remote by " + door.Name())},
			"a token without JSON":  {"r": object{"type": "dropbox", "app_key": "k", "app_secret": "s", "token": c.sing("a token by " + door.Name())}},
			"an endpoint with more": {"r": with(sound, "endpoint", "https://u:"+c.sing("an endpoint by "+door.Name())+"@h/")},
		} {
			if _, err := door.Call(t.Context(), "AddConfig", object{"resourceId": tenant.Resource, "config": config}); err == nil {
				t.Errorf("%s by %s was stored", what, door.Name())
			} else {
				c.note(err)
			}
		}
	}
	rawSecrets(t, c, tenant)
	malformedMessage(t, c, tenant)
}

// rawSecrets sends bodies that are no JSON, no query, too large or misplaced.
func rawSecrets(t *testing.T, c *canaries, tenant *harness.Tenant) {
	t.Helper()
	config := "/v1/resources/" + tenant.Resource + "/config"
	mutation := `mutation { addJobConfig(resourceId: 1, config: {r: {type: "s3", secret_access_key: "%s"}}) { success } }`
	for _, r := range []struct{ method, path, body, media string }{
		{"POST", config, `{"config": {"r": {"type": "s3", "secret_access_key": "` + c.sing("half a body") + `"`, ""},
		{"POST", config, `{"config": {"r": {"secret_access_key": "` + c.sing("a body with a bad escape") + `\x"}}}`, ""},
		{"POST", config, `{"config": {"r": {"a": 1, "a": "` + c.sing("a doubled key") + `"}}}`, ""},
		{"POST", config, `{"secret": "` + c.sing("an unknown field") + `"}`, ""},
		{"POST", config, c.sing("no JSON at all"), ""},
		{"POST", config, "\xff" + c.sing("no UTF-8"), ""},
		{"POST", config, `{"config": {"r": "` + c.sing("a large body") + strings.Repeat("x", 1<<20) + `"}}`, ""},
		{"POST", config, "secret=" + c.sing("a form"), "application/x-www-form-urlencoded"},
		{"POST", config + "?secret=" + c.sing("a query of REST"), `{"config": {}}`, ""},
		{"POST", "/graphql", `{"query": "` + c.sing("half a GraphQL body"), ""},
		{"POST", "/graphql", `[{"query": "` + c.sing("a batch") + `"}]`, ""},
		{"POST", "/graphql", fmt.Sprintf(`{"query": %q}`, fmt.Sprintf(mutation, c.sing("a query with a syntax error"))+" }"), ""},
		{"POST", "/graphql", fmt.Sprintf(`{"query": %q}`, strings.Replace(fmt.Sprintf(mutation, c.sing("a query with an open string")), `"}})`, `}})`, 1)), ""},
		{"POST", "/graphql", fmt.Sprintf(`{"query": %q}`, strings.Replace(fmt.Sprintf(mutation, c.sing("a query with an unknown argument")), "config:", "konfig:", 1)), ""},
		{"POST", "/graphql", `{"query": "mutation ($c: JSON!) { addJobConfig(resourceId: 1, config: $c) { success } }", "variables": {"c": "` + c.sing("a variable of the wrong type") + `"}}`, ""},
		{"POST", "/graphql", `{"query": "mutation ($c: Int!) { addJobConfig(resourceId: 1, config: $c) { success } }", "variables": {"c": "` + c.sing("a variable that is no Int") + `"}}`, ""},
		{"GET", "/graphql?query=" + url.QueryEscape(fmt.Sprintf(mutation, c.sing("a mutation by GET"))), "", ""},
		{"GET", "/graphql?query=" + c.sing("a query that is none"), "", ""},
		{"GET", "/logs/exec_1?signature=" + c.sing("a forged link"), "", ""},
	} {
		headers := []string{}
		if r.media != "" {
			headers = []string{"Content-Type", r.media}
		}
		answer, err := tenant.Operator.HTTP(t.Context(), r.method, r.path, r.body, headers...)
		if err != nil {
			t.Fatal(err)
		}
		c.note(fmt.Sprint(answer.Status, answer.Header, string(answer.Body)))
	}
}

// malformedMessage sends bytes that are no message.
func malformedMessage(t *testing.T, c *canaries, tenant *harness.Tenant) {
	t.Helper()
	conn, err := tenant.Operator.Conn()
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	err = conn.Invoke(tenant.Operator.Outgoing(t.Context()), "/carillon.v1.ConfigService/AddConfig",
		[]byte("\x0a\xff"+c.sing("bytes that are no message")), &out, grpc.ForceCodec(rawCodec{}))
	if err == nil {
		t.Error("bytes that are no message were answered")
	}
	c.note(err)
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (rawCodec) Name() string                       { return "proto" }

// oauthSecrets sends clients' secrets, right and wrong, and bearer tokens.
func oauthSecrets(t *testing.T, c *canaries, server *harness.Server, tenant *harness.Tenant) {
	t.Helper()
	client := newOAuthClient(t, tenant, []any{"instance-*"}, tenant.Instance)
	_, got := grant(t, server, credentials(client))
	answer, _ := grant(t, server, credentials(client, "client_secret", c.sing("a wrong secret")))
	c.note(string(answer.Body))
	answer, err := server.As("").HTTP(t.Context(), http.MethodPost, "/oauth2/token?client_secret="+c.sing("a secret in the address"), "grant_type=client_credentials",
		"Content-Type", "application/x-www-form-urlencoded")
	if err != nil {
		t.Fatal(err)
	}
	c.note(string(answer.Body))
	_, err = server.As(c.sing("a bearer that is none")).RESTDoor().Call(t.Context(), "ListInstances", object{})
	c.note(err)
	// These were answered once, as they must be, and stand nowhere else.
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts[harness.Text(client, "clientSecret")] = "CreateClient's answer"
	c.texts[harness.Text(got, "access_token")[40:]] = "the token endpoint's answer"
}

// filesOf is the text of every file in a folder, the write-ahead log included.
func filesOf(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server has just removed it
		}
		fmt.Fprintf(&all, "\n%s: %s", path, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
