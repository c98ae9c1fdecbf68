package acc

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzAnswers reads whatever Autodesk, or a server in its place, may answer.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"data":[{"type":"items","id":"i","attributes":{"displayName":"a","hidden":true,"storageSize":-1,"extension":{"data":{"visibleTypes":["items:autodesk.bim360:Document"]}}},"relationships":{"tip":{"data":{"id":"v"}},"refs":{"data":[{"id":"x"}]}}}],"included":null,"links":{"next":{"href":"/x"}}}`,
		`{"data":{"relationships":{"tip":{"data":7}}}}`, `{"errors":[{"code":"C","detail":"d"}]}`, `{"developerMessage":"m","reason":"r"}`, `[]`, `null`, `{"links":{"next":[]}}`, `{"data":[null]}`,
	} {
		f.Add(seed, "3")
	}
	f.Add("", "99999999999999999999")
	f.Add("", "-1")
	f.Fuzz(func(t *testing.T, body, pause string) {
		var page listPage
		if json.Unmarshal([]byte(body), &page) == nil {
			for i := range page.Data {
				one := &page.Data[i]
				_, _, _ = one.related("tip"), one.hidden(), one.forPlans()
				_ = find(page.Included, one.related("tip"))
			}
		}
		answer := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {pause}}, Body: io.NopCloser(strings.NewReader(body))}
		if refused := failed("reading", answer); refused.RetryAfter < 0 || refused.RetryAfter > 0 && refused.RetryAfter < time.Second || refused.Error() == "" {
			t.Errorf("Retry-After %q is %s", pause, refused.RetryAfter)
		}
	})
}
