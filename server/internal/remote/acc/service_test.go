package acc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/remote/acc"
	"github.com/pointscene/carillon/tests/apstest"
)

func TestListingHasAllPages(t *testing.T) {
	t.Parallel()
	aps, f := setup(t)
	for i := range 450 {
		aps.Put(fmt.Sprintf("Project Files/d/%d", i), "1")
	}
	aps.Mkdir("Project Files/d/folder")
	entries, err := f.List(t.Context(), "d")
	if err != nil || len(entries) != 451 || aps.Requests(apstest.OpContents) != 4 { // one to find d
		t.Errorf("%d entries in %d calls, %v", len(entries), aps.Requests(apstest.OpContents), err)
	}
	if _, err := f.List(t.Context(), "missing"); !errors.Is(err, fs.ErrorDirNotFound) {
		t.Errorf("missing folder: %v", err)
	}
	tops, err := open(t, aps, "/", nil).List(t.Context(), "")
	if err != nil || len(tops) != 2 {
		t.Errorf("top folders: %v, %v", tops, err)
	}
}

// Faults that pass are waited for, as long as the service says.
func TestFaultsThatPass(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault apstest.Fault
		least time.Duration
	}{
		"throttled":     {apstest.Fault{Op: apstest.OpContents, Status: http.StatusTooManyRequests, RetryAfter: time.Second}, time.Second},
		"locked":        {apstest.Fault{Op: apstest.OpCreateItem, Status: http.StatusLocked}, 0},
		"broken":        {apstest.Fault{Op: apstest.OpStorage, Status: http.StatusBadGateway, Times: 3}, 0},
		"token refused": {apstest.Fault{Op: apstest.OpStorage, Status: http.StatusUnauthorized}, 0},
		"no answer":     {apstest.Fault{Op: apstest.OpSignUpload, Lost: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aps, f := setup(t)
			aps.Inject(test.fault)
			began := time.Now()
			mustPut(t, f, "d/a", "1")
			if took := time.Since(began); took < test.least {
				t.Errorf("took %v, the service asked for %v", took, test.least)
			}
		})
	}
}

// Faults that stay are told as they are, soon.
func TestFaultsThatStay(t *testing.T) {
	t.Parallel()
	aps, f := setup(t)
	aps.Deny("Project Files/secret")
	_, err := put(t.Context(), f, "secret/a", "1")
	var refused *acc.Error
	if !errors.As(err, &refused) || refused.HTTPStatusCode() != http.StatusForbidden || !strings.Contains(err.Error(), "custom integration") {
		t.Errorf("no permission: %v", err)
	}
	aps.Inject(apstest.Fault{Op: apstest.OpContents, Times: -1, Status: http.StatusTooManyRequests, RetryAfter: time.Hour})
	if _, err := f.List(t.Context(), ""); !errors.As(err, &refused) || refused.RetryAfter != time.Hour {
		t.Errorf("to be left alone for an hour: %v", err)
	}
	wrong := open(t, aps, "Project Files/", map[string]string{"project_id": "other"})
	if _, err := wrong.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "hub_id and project_id") {
		t.Errorf("wrong project: %v", err)
	}
}

// Waiting for a limit ends with the context.
func TestCancelWhileThrottled(t *testing.T) {
	t.Parallel()
	aps, f := setup(t)
	aps.Inject(apstest.Fault{Op: apstest.OpStorage, Times: -1, Status: http.StatusTooManyRequests, RetryAfter: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := put(ctx, f, "a", "1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 30*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	aps, _ := setup(t)
	aps.Put("Project Files/a", "1")
	f := open(t, aps, "Project Files/", map[string]string{"token": aps.ExpiredToken("bob")})
	list := func() error { _, err := f.List(t.Context(), ""); return err }
	if err := list(); err != nil || aps.Requests(apstest.OpToken) != 1 {
		t.Fatalf("expired: %v after %d refreshes", err, aps.Requests(apstest.OpToken))
	}
	aps.ExpireAccess()
	if err := list(); err != nil || aps.Requests(apstest.OpToken) != 2 {
		t.Fatalf("ended early: %v after %d refreshes", err, aps.Requests(apstest.OpToken))
	}
	aps.Revoke("bob")
	if err := list(); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("revoked: %v", err)
	}
	lost := open(t, aps, "Project Files/", map[string]string{"token": aps.ExpiredToken("eve"), "client_secret": "wrong"})
	if _, err := lost.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("wrong secret: %v", err)
	}
}

// The token goes to the endpoint only.
func TestRedirectsTakeNoToken(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	endpoint := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(endpoint.Close)
	aps, _ := setup(t)
	f := open(t, aps, "Project Files/", map[string]string{"endpoint": endpoint.URL})
	if _, err := f.List(t.Context(), ""); err == nil || reached.Load() {
		t.Errorf("redirected: %v, reached %v", err, reached.Load())
	}
}
