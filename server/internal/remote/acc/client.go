package acc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/lib/oauthutil"
)

const (
	// tries is how often a call is made while it fails for a reason that passes.
	tries = 6
	// firstPause and longestPause bound the time between tries.
	firstPause   = 200 * time.Millisecond
	longestPause = 20 * time.Second
	// longestHold is the longest Retry-After that is waited for.
	longestHold = 5 * time.Minute
	// maxAnswer bounds what is read of an answer: a page of a listing has about
	// a megabyte.
	maxAnswer = 32 << 20
)

// client calls the service for one remote.
type client struct {
	endpoint string
	// http adds the bearer token, bare does not: it is for signed URLs.
	http, bare *http.Client
	tokens     *oauthutil.TokenSource
	app        *app

	mu   sync.Mutex
	told map[string]bool
}

// Error is an answer of the service that is not a success.
type Error struct {
	// Doing is the call, without ids.
	Doing  string
	Status int
	// Text is what the service said.
	Text string
	// RetryAfter is how long the service wants to be left alone.
	RetryAfter time.Duration
}

// Error says what can be done about it.
func (e *Error) Error() string {
	text := fmt.Sprintf("Autodesk answers %d %s to %s: %s", e.Status, http.StatusText(e.Status), e.Doing, e.Text)
	switch e.Status {
	case http.StatusForbidden:
		text += " (the person of the token needs permission for the folder, and an account admin must have added the app's client id as a custom integration)"
	case http.StatusLocked:
		text += " (somebody has the file locked)"
	}
	return text
}

// HTTPStatusCode is the status of the answer.
func (e *Error) HTTPStatusCode() int { return e.Status }

// request is one call of the API.
type request struct {
	op, doing    string
	method, path string
	query        url.Values
	body         any
	// done, when set, is asked after an attempt with an unknown end whether it
	// succeeded after all.
	done func(context.Context) (bool, error)
}

// call makes a call until it succeeds, or fails for a reason that does not
// pass. The answer is decoded into result unless done said that it succeeded.
func (c *client) call(ctx context.Context, r request, result any) error {
	var err error
	renewed := false
	for try := 1; ; try++ {
		if err := c.app.wait(ctx, r.op, func() { c.tell(ctx, r.op) }); err != nil {
			return err
		}
		err = c.attempt(ctx, r, result)
		var refused *Error
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.As(err, &refused):
			if !fserrors.ShouldRetry(err) {
				return err
			}
		case refused.Status == http.StatusUnauthorized && !renewed:
			// The token was ended before its time. Its successor is asked for once.
			renewed = true
			if err := c.tokens.Expire(); err != nil {
				return err
			}
		case refused.Status == http.StatusTooManyRequests && refused.RetryAfter <= longestHold:
			c.app.hold(r.op, max(refused.RetryAfter, firstPause))
		case refused.Status == http.StatusLocked || refused.Status >= 500:
		case refused.Status == http.StatusTooManyRequests:
			return err
		default:
			return fserrors.NoLowLevelRetryError(err)
		}
		if try == tries {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
		if r.done != nil && uncertain(refused) {
			if done, err := r.done(ctx); err != nil || done {
				return err
			}
		}
	}
}

// uncertain tells whether a call may have had an effect although it failed.
func uncertain(refused *Error) bool { return refused == nil || refused.Status >= 500 }

// pause waits before the next try, longer each time.
func pause(ctx context.Context, try int) error {
	d := min(firstPause<<(try-1), longestPause)
	return sleep(ctx, d/2+rand.N(d/2))
}

// tell says once that a limit slows the sync down.
func (c *client) tell(ctx context.Context, op string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[op] {
		return
	}
	c.told[op] = true
	fs.LogfCtx(ctx, nil, "waiting for Autodesk's limit of %v requests per minute for %s, which all jobs of the app share", limits[op], op)
}

// attempt makes a call once.
func (c *client) attempt(ctx context.Context, r request, result any) error {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return fmt.Errorf("encode the body to %s: %w", r.doing, err)
		}
		body = bytes.NewReader(text)
	}
	at := c.endpoint + r.path
	if len(r.query) > 0 {
		at += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, at, body)
	if err != nil {
		return err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/vnd.api+json")
		if r.op == opStorageCalls {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return failed(r.doing, resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(result); err != nil {
		// The connection may have broken in the middle.
		return fserrors.RetryError(fmt.Errorf("read the answer to %s: %w", r.doing, err))
	}
	return nil
}

// failed reads an answer that is not a success.
func failed(doing string, resp *http.Response) *Error {
	e := &Error{Doing: doing, Status: resp.StatusCode, Text: "no reason given"}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, int(24*time.Hour/time.Second))) * time.Second
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var body struct {
		Errors []struct {
			Code   string `json:"code"`
			Title  string `json:"title"`
			Detail string `json:"detail"`
		} `json:"errors"`
		DeveloperMessage string `json:"developerMessage"`
		Reason           string `json:"reason"`
	}
	_ = json.Unmarshal(text, &body)
	var said []string
	for _, one := range body.Errors {
		said = append(said, strings.TrimSpace(one.Detail+" "+one.Code))
	}
	for _, one := range []string{body.DeveloperMessage, body.Reason} {
		if one != "" {
			said = append(said, one)
		}
	}
	if len(said) > 0 {
		e.Text = strings.Join(said, "; ")
	}
	return e
}

// status is the status of a refusal, or 0.
func status(err error) int {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}
