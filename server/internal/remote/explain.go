package remote

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"net/http"
	"slices"
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
	ReasonAppMissing      = "APS_APP_MISSING"
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
	ReasonTokenExpired    = "TOKEN_EXPIRED"
	ReasonRootChanged     = "DESTINATION_CHANGED"
	ReasonSideEmpty       = "SIDE_EMPTY"
	ReasonTooManyChanges  = "TOO_MANY_CHANGES"
)

// Reasons that a file was skipped or failed with.
const (
	ReasonSameName = "SAME_NAME"
	ReasonNotAFile = "NOT_A_FILE"
	// ReasonNotExportable is that of a Google document which none of the
	// wanted formats fits.
	ReasonNotExportable = "NOT_EXPORTABLE"
	ReasonBadName       = "BAD_NAME"
	ReasonInTheWay      = "FOLDER_IN_THE_WAY"
	ReasonFileRefused   = "PERMISSION_DENIED"
	ReasonFileGone      = "FILE_GONE"
	ReasonFileChanged   = "FILE_CHANGED"
	ReasonFileCorrupt   = "CORRUPTED_ON_TRANSFER"
	ReasonThrottled     = "THROTTLED"
	ReasonStorageFull   = "STORAGE_FULL"
	ReasonFileTimeout   = "TIMEOUT"
	ReasonFileFailed    = "FILE_FAILED"
	ReasonConflict      = "CONFLICT"
	ReasonNameTooLong   = "NAME_TOO_LONG"
	// ReasonFoundDone is that of a file that was changed by an attempt which
	// was lost, and found done by the next.
	ReasonFoundDone = "FOUND_DONE"
)

// reasonTexts tell errors apart that have no type.
var reasonTexts = []struct{ text, reason string }{
	{"is being updated", ReasonFileChanged},
	{"corrupted on transfer", ReasonFileCorrupt},
	{"no space left", ReasonStorageFull},
	{"quota", ReasonStorageFull},
	{"Too Many Requests", ReasonThrottled},
	{"rate limit", ReasonThrottled},
	{"timeout", ReasonFileTimeout},
	{"file name too long", ReasonNameTooLong},
}

// reasonOf says in a word why a file failed.
func reasonOf(err error) string {
	if f, ok := errors.AsType[*job.Failure](err); ok {
		return f.Reason
	}
	switch {
	case refused(err), errors.Is(err, fs.ErrorPermissionDenied), errors.Is(err, iofs.ErrPermission):
		return ReasonFileRefused
	case errors.Is(err, fs.ErrorObjectNotFound), errors.Is(err, fs.ErrorDirNotFound), errors.Is(err, iofs.ErrNotExist):
		return ReasonFileGone
	case errors.Is(err, fs.ErrorFileNameTooLong):
		return ReasonNameTooLong
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonFileTimeout
	}
	for _, known := range reasonTexts {
		if strings.Contains(err.Error(), known.text) {
			return known.reason
		}
	}
	return ReasonFileFailed
}

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
	if refusesCredentials(err) {
		return s.refusal(r, doing, err)
	}
	if refused(err) {
		return &job.Failure{Code: "UNAUTHENTICATED", Reason: ReasonRemoteRefused,
			Message: fmt.Sprintf("%s %s: the remote refuses what these credentials may do there: %s", doing, r, s.text(err))}
	}
	return &job.Failure{Code: "UNAVAILABLE", Reason: ReasonRemoteFailed,
		Message: fmt.Sprintf("%s %s: %s", doing, r, s.text(err))}
}

// text is an error's text for people.
func (s *Session) text(err error) string {
	text := s.mask.text(err.Error())
	if status, code := azureStatus(err); status != 0 { // its own text is a page
		text = fmt.Sprintf("the service answered %d %s", status, code)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// The library only sees that the gate said no.
	if s.lastDial != nil && strings.Contains(text, "socks connect") {
		return s.mask.text(s.lastDial.Error())
	}
	return text
}

// refused reports whether the remote did not accept who we are, or what we may
// do.
func refused(err error) bool {
	return refusesCredentials(err) || statusOf(err) == http.StatusForbidden
}

// refusesCredentials reports whether the remote did not accept who we are.
func refusesCredentials(err error) bool {
	if e, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err); ok && badKeys[e.ErrorCode()] {
		return true
	}
	if _, code := azureStatus(err); code == "AuthenticationFailed" { // with 403
		return true
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil && final(e.Response.StatusCode) {
		// A token server that does not know the service account or its key.
		return true
	}
	return statusOf(err) == http.StatusUnauthorized || slices.ContainsFunc(badTexts, func(text string) bool {
		return strings.Contains(err.Error(), text)
	})
}

var (
	// badKeys are S3's error codes, which come with the status 403.
	badKeys = map[string]bool{"InvalidAccessKeyId": true, "SignatureDoesNotMatch": true, "ExpiredToken": true, "InvalidToken": true}
	// badTexts are what the SSH library and Dropbox say.
	badTexts = []string{"ssh: unable to authenticate", "invalid_access_token", "expired_access_token"}
)

// statusOf is the HTTP status of a remote's answer, 0 when there is none.
func statusOf(err error) (status int) {
	if e, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok { // S3, ACC
		status = e.HTTPStatusCode()
	}
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		status = e.Code
	}
	if azure, _ := azureStatus(err); azure != 0 {
		status = azure
	}
	if e, ok := errors.AsType[*api.Error](err); ok { // WebDAV
		status = e.StatusCode
	}
	return status
}
