package apstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// client speaks to a fake by hand.
type client struct {
	*Server
	t     *testing.T
	token string
}

func setup(t *testing.T, o Options) *client {
	t.Helper()
	c := &client{Server: Start(t, o), t: t}
	c.token = c.accessToken(c.Token("ada"))
	return c
}

func (c *client) accessToken(token string) string {
	var parsed struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(token), &parsed); err != nil {
		c.t.Fatal(err)
	}
	return parsed.AccessToken
}

// reply is an answer, with its data taken apart.
type reply struct {
	status int
	header http.Header
	body   map[string]any
}

func (r reply) id() string {
	data, _ := r.body["data"].(map[string]any)
	id, _ := data["id"].(string)
	return id
}

// ids are the ids of a list.
func (r reply) ids() []string {
	found := []string{}
	data, _ := r.body["data"].([]any)
	for _, one := range data {
		found = append(found, one.(map[string]any)["id"].(string))
	}
	return found
}

// call sends a request.
func (c *client) call(method, at, body string) reply {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.URL+strings.ReplaceAll(at, "{p}", c.ProjectID), strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/vnd.api+json")
	if strings.HasPrefix(at, "/oss/") {
		request.Header.Set("Content-Type", "application/json")
	}
	return c.do(request)
}

func (c *client) do(request *http.Request) reply {
	c.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	r := reply{status: response.StatusCode, header: response.Header}
	_ = json.Unmarshal(text, &r.body)
	return r
}

// api is a JSON:API body.
func api(data string) string { return `{"jsonapi":{"version":"1.0"},` + data + `}` }

func (c *client) projectFiles() string {
	return c.call("GET", "/project/v1/hubs/"+c.HubID+"/projects/{p}/topFolders", "").ids()[0]
}

const dm = "/data/v1/projects/{p}/"

func storageBody(folder, name string) string {
	return api(fmt.Sprintf(`"data":{"type":"objects","attributes":{"name":%q},"relationships":{"target":{"data":{"type":"folders","id":%q}}}}`, name, folder))
}

func itemBody(folder, name, urn string) string {
	return api(fmt.Sprintf(`"data":{"type":"items","attributes":{"displayName":%[2]q,"extension":{"type":"items:autodesk.bim360:File","version":"1.0"}},
		"relationships":{"tip":{"data":{"type":"versions","id":"1"}},"parent":{"data":{"type":"folders","id":%[1]q}}}},
		"included":[{"type":"versions","id":"1","attributes":{"name":%[2]q,"extension":{"type":"versions:autodesk.bim360:File","version":"1.0"}},
		"relationships":{"storage":{"data":{"type":"objects","id":%[3]q}}}}]`, folder, name, urn))
}

func deleteBody(item string) string {
	return api(fmt.Sprintf(`"data":{"type":"versions","attributes":{"extension":{"type":"versions:autodesk.core:Deleted","version":"1.0"}},
		"relationships":{"item":{"data":{"type":"items","id":%q}}}}`, item))
}

// upload stores parts, and returns the URN and the answer to completing it.
func (c *client) upload(folder, name string, parts ...string) (string, reply) {
	c.t.Helper()
	urn := c.call("POST", dm+"storage", storageBody(folder, name)).id()
	at := "/oss/v2/buckets/wip.dm.prod/objects/" + urn[strings.LastIndex(urn, "/")+1:] + "/signeds3upload"
	signed := c.call("GET", fmt.Sprintf("%s?parts=%d", at, len(parts)), "")
	eTags := []string{}
	for i, part := range parts {
		request, err := http.NewRequestWithContext(c.t.Context(), "PUT", signed.body["urls"].([]any)[i].(string), strings.NewReader(part))
		if err != nil {
			c.t.Fatal(err)
		}
		eTags = append(eTags, c.do(request).header.Get("ETag"))
	}
	body, _ := json.Marshal(map[string]any{"uploadKey": signed.body["uploadKey"], "size": len(strings.Join(parts, "")), "eTags": eTags})
	return urn, c.call("POST", at, string(body))
}

func TestLifeOfAFile(t *testing.T) {
	t.Parallel()
	c := setup(t, Options{MinPart: 4})
	folder := c.projectFiles()
	urn, done := c.upload(folder, "a.txt", "1234", "5")
	if done.status != http.StatusOK {
		t.Fatalf("complete: %+v", done)
	}
	if len(c.Files("Project Files")) != 0 {
		t.Error("the file is visible before its item was made")
	}
	item := c.call("POST", dm+"items", itemBody(folder, "a.txt", urn))
	if item.status != http.StatusCreated || c.Files("Project Files")["a.txt"] != "12345" {
		t.Fatalf("item: %+v, %v", item, c.Files("Project Files"))
	}
	if again := c.call("POST", dm+"items", itemBody(folder, "A.TXT", urn)); again.status != http.StatusConflict {
		t.Errorf("same name: %+v", again)
	}
	if gone := c.call("POST", dm+"versions", deleteBody(item.id())); gone.status != http.StatusCreated || len(c.Files("Project Files")) != 0 {
		t.Fatalf("delete: %+v", gone)
	}
	contents := dm + "folders/" + folder + "/contents"
	if shown := c.call("GET", contents, "").ids(); len(shown) != 0 {
		t.Errorf("a deleted file is listed: %v", shown)
	}
	if shown := c.call("GET", contents+"?includeHidden=true", "").ids(); !slices.Equal(shown, []string{item.id()}) {
		t.Errorf("hidden ones are %v", shown)
	}
	first := url.QueryEscape(strings.Replace(item.id(), "dm.lineage:", "fs.file:vf.", 1) + "?version=1")
	if back := c.call("POST", dm+"versions?copyFrom="+first, api(`"data":{"type":"versions"}`)); back.status != http.StatusCreated {
		t.Fatalf("restore: %+v", back)
	}
	if got := c.Versions("Project Files/a.txt"); !slices.Equal(got, []string{"12345", "", "12345"}) {
		t.Errorf("versions are %q", got)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := setup(t, Options{})
	c.Put("Project Files/there/x", "1")
	c.Deny("Project Files/secret")
	folder := c.projectFiles()
	sub := func(name string) string { return c.makeFolders(name).id }
	make := func(parent, name, typ string) string {
		return api(fmt.Sprintf(`"data":{"type":"folders","attributes":{"name":%q,"extension":{"type":%q,"version":"1.0"}},
			"relationships":{"parent":{"data":{"type":"folders","id":%q}}}}`, name, typ, parent))
	}
	deep := "Project Files" + strings.Repeat("/d", 25)
	const bim = "folders:autodesk.bim360:Folder"
	for name, test := range map[string]struct {
		method, at, body string
		status           int
	}{
		"page too large":     {"GET", dm + "folders/" + folder + "/contents?page[limit]=201", "", 400},
		"foreign project":    {"GET", "/data/v1/projects/b.other/folders/" + folder + "/contents", "", 404},
		"no permission":      {"GET", dm + "folders/" + sub("Project Files/secret") + "/contents", "", 403},
		"folder in the root": {"POST", dm + "folders", make(c.root.id, "x", bim), 403},
		"wrong extension":    {"POST", dm + "folders", make(folder, "x", "folders:autodesk.core:Folder"), 400},
		"taken name":         {"POST", dm + "folders", make(folder, "THERE", bim), 409},
		"reserved character": {"POST", dm + "folders", make(folder, "a|b", bim), 400},
		"too deep":           {"POST", dm + "folders", make(sub(deep), "x", bim), 400},
		"no version":         {"POST", dm + "folders", strings.Replace(make(folder, "x", bim), `"1.0"}`, `"2"}`, 1), 400},
		"file in the root":   {"POST", dm + "storage", storageBody(c.root.id, "x"), 403},
		"file in Plans":      {"POST", dm + "storage", storageBody(sub("Plans"), "x.txt"), 400},
		"no storage":         {"POST", dm + "items", itemBody(folder, "x", "urn:adsk.objects:os.object:wip.dm.prod/none"), 404},
	} {
		if got := c.call(test.method, test.at, test.body); got.status != test.status {
			t.Errorf("%s: %+v, want %d", name, got, test.status)
		}
	}
	stored := c.call("POST", dm+"storage", storageBody(folder, "x")).id()
	if got := c.call("GET", "/oss/v2/buckets/wip.dm.prod/objects/"+stored[strings.LastIndex(stored, "/")+1:]+"/signeds3upload?parts=26", ""); got.status != http.StatusBadRequest {
		t.Errorf("too many URLs: %+v", got)
	}
	if _, small := c.upload(folder, "b", "12", "3"); small.status != http.StatusBadRequest {
		t.Errorf("a small part: %+v", small)
	}
	c.token = "wrong"
	if got := c.call("GET", dm+"folders/"+folder+"/contents", ""); got.status != http.StatusUnauthorized {
		t.Errorf("wrong token: %+v", got)
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := setup(t, Options{Now: func() time.Time { return now }})
	at := "/project/v1/hubs/" + c.HubID + "/projects/{p}/topFolders"
	for range 300 {
		if got := c.call("GET", at, ""); got.status != http.StatusOK {
			t.Fatalf("within the limit: %+v", got)
		}
	}
	if got := c.call("GET", at, ""); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "60" {
		t.Errorf("beyond the limit: %+v", got)
	}
	now = now.Add(time.Minute)
	if got := c.call("GET", at, ""); got.status != http.StatusOK {
		t.Errorf("a minute later: %+v", got)
	}
	now = now.Add(time.Hour)
	if got := c.call("GET", at, ""); got.status != http.StatusUnauthorized {
		t.Errorf("an hour later: %+v", got)
	}
}

func TestRefreshTokensWorkOnce(t *testing.T) {
	t.Parallel()
	c := setup(t, Options{})
	var token struct {
		RefreshToken string `json:"refresh_token"`
	}
	_ = json.Unmarshal([]byte(c.ExpiredToken("bob")), &token)
	refresh := func(refreshToken, secret string) reply {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}.Encode()
		request, err := http.NewRequestWithContext(t.Context(), "POST", c.URL+"/authentication/v2/token", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(c.options.ClientID, secret)
		return c.do(request)
	}
	if got := refresh(token.RefreshToken, "wrong"); got.status != http.StatusUnauthorized {
		t.Errorf("wrong secret: %+v", got)
	}
	first := refresh(token.RefreshToken, c.options.ClientSecret)
	if first.status != http.StatusOK {
		t.Fatalf("refresh: %+v", first)
	}
	if got := refresh(token.RefreshToken, c.options.ClientSecret); got.status != http.StatusBadRequest || len(c.Violations()) != 1 {
		t.Errorf("twice: %+v, %v", got, c.Violations())
	}
	c.Revoke("bob")
	if got := refresh(first.body["refresh_token"].(string), c.options.ClientSecret); got.body["error"] != "invalid_grant" {
		t.Errorf("revoked: %+v", got)
	}
}
