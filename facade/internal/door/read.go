package door

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
)

// MaxBody is the largest accepted body, in bytes.
const MaxBody = 1 << 20

// curlDefault is what curl -d says of any body unless it is told otherwise.
const curlDefault = "application/x-www-form-urlencoded"

// ReadBody returns a body of the media type want, which must be given unless
// it is optional. Then what curl says by default passes too: no credential is
// sent by itself, so a form of a foreign page can't use it.
func ReadBody(w http.ResponseWriter, r *http.Request, want string, optional bool) ([]byte, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, mediaTypeFault("a compressed body is not accepted")
	}
	given := r.Header.Get("Content-Type")
	if given != "" || !optional {
		media, params, err := mime.ParseMediaType(given)
		if err != nil || media != want && !(optional && media == curlDefault) {
			return nil, mediaTypeFault("the Content-Type must be " + want)
		}
		if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
			return nil, mediaTypeFault("the charset must be utf-8")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		// gRPC itself says RESOURCE_EXHAUSTED too.
		return nil, Refuse(codes.ResourceExhausted, ReasonBodyTooLarge,
			fmt.Sprintf("the body is larger than %d bytes", MaxBody)).WithHTTP(http.StatusRequestEntityTooLarge)
	case err != nil:
		return nil, Refuse(codes.Canceled, "CANCELLED", "the body did not arrive whole").WithHTTP(http.StatusBadRequest)
	}
	return body, nil
}

func mediaTypeFault(message string) *Fault {
	return Refuse(codes.InvalidArgument, ReasonMediaType, message).WithHTTP(http.StatusUnsupportedMediaType)
}

// MethodNotAllowed refuses a method; allow lists the right ones: "GET, POST".
func MethodNotAllowed(w http.ResponseWriter, allow string) *Fault {
	w.Header().Set("Allow", allow)
	return Refuse(codes.Unimplemented, ReasonMethodNotAllowed,
		"this address takes "+allow).WithHTTP(http.StatusMethodNotAllowed)
}

// NoSuchRoute refuses an address that leads nowhere.
func NoSuchRoute() *Fault {
	return Refuse(codes.NotFound, ReasonNoSuchRoute, "there is nothing at this address")
}
