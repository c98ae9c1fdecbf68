package remote

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/rclone/rclone/backend/webdav/api"
	"github.com/rclone/rclone/fs"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/pointscene/carillon/server/internal/job"
)

// Reasons that a sync fails with.
const (
	ReasonTypeUnavailable = "REMOTE_TYPE_UNAVAILABLE"
	ReasonRemoteRefused   = "REMOTE_REFUSED"
	ReasonRemoteFailed    = "REMOTE_FAILED"
	ReasonNoBucket        = "BUCKET_MISSING_IN_PATH"
	ReasonIsFile          = "REMOTE_PATH_IS_FILE"
	ReasonSourceMissing   = "SOURCE_MISSING"
	ReasonSourceEmpty     = "SOURCE_EMPTY"
	ReasonDestMissing     = "DESTINATION_MISSING"
	ReasonMaxDelete       = "MAX_DELETE_EXCEEDED"
	ReasonOverlap         = "REMOTES_OVERLAP"
	ReasonFilesFailed     = "FILES_FAILED"
)

// stepError is an error of the library before it is explained.
type stepError struct {
	remote *Remote
	doing  string
	err    error
}

func (e *stepError) Error() string { return e.doing + " " + e.remote.String() + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// explain turns an error of the library into what users may see: without
// secrets, and a *job.Failure. The end of the session comes before everything.
func (s *Session) explain(r *Remote, doing string, err error) error {
	if ended := s.ended(); ended != nil {
		return ended
	}
	if f, ok := errors.AsType[*job.Failure](err); ok {
		return f
	}
	if errors.Is(err, fs.ErrorIsFile) {
		return failure(ReasonIsFile, "%s is a file; a sync needs a folder", r)
	}
	if refused(err) {
		return &job.Failure{Code: "UNAUTHENTICATED", Reason: ReasonRemoteRefused,
			Message: fmt.Sprintf("%s %s: the remote refuses the stored credentials or their rights: %s; add a new config", doing, r, s.text(err))}
	}
	return &job.Failure{Code: "UNAVAILABLE", Reason: ReasonRemoteFailed,
		Message: fmt.Sprintf("%s %s: %s", doing, r, s.text(err))}
}

// text is an error's text for people.
func (s *Session) text(err error) string {
	text := s.mask.text(err.Error())
	s.mu.Lock()
	defer s.mu.Unlock()
	// The library only sees that the gate said no.
	if s.lastDial != nil && strings.Contains(text, "socks connect") {
		return s.mask.text(s.lastDial.Error())
	}
	return text
}

// refused reports whether the remote did not accept who we are.
func refused(err error) bool {
	status := 0
	if e, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok { // S3
		status = e.HTTPStatusCode()
	}
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		status = e.Code
	}
	if e, ok := errors.AsType[*api.Error](err); ok { // WebDAV
		status = e.StatusCode
	}
	if _, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return true
	}
	return status == http.StatusUnauthorized || status == http.StatusForbidden ||
		strings.Contains(err.Error(), "ssh: unable to authenticate") ||
		strings.Contains(err.Error(), "invalid_grant")
}
