package door

import (
	"bytes"
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
//
// Of a large body no more is read than the beginning before known says, by nil,
// that the caller may send one; nil for known is that nobody may.
func ReadBody(r *http.Request, want string, optional bool, known func() error) ([]byte, error) {
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
	body, err := readUpTo(r, nil, largeBody)
	if err != nil || len(body) < largeBody {
		return body, err
	}
	if known == nil {
		return nil, tooLarge(largeBody)
	}
	if err := known(); err != nil {
		return nil, err
	}
	body, err = readUpTo(r, body, MaxBody+1)
	if err == nil && len(body) > MaxBody {
		return nil, tooLarge(MaxBody)
	}
	return body, err
}

// readUpTo reads on after what was read already, until there are limit bytes.
func readUpTo(r *http.Request, begun []byte, limit int) ([]byte, error) {
	// All of it at once where the length is told, since growing takes three times
	// as much.
	size := min(max(int(min(r.ContentLength, MaxBody)), len(begun)), limit)
	body := bytes.NewBuffer(append(make([]byte, 0, size+bytes.MinRead), begun...))
	if _, err := body.ReadFrom(io.LimitReader(r.Body, int64(limit-len(begun)))); err != nil {
		return nil, Refuse(codes.Canceled, "CANCELLED", "the body did not arrive whole").WithHTTP(http.StatusBadRequest)
	}
	return body.Bytes(), nil
}

// gRPC itself says RESOURCE_EXHAUSTED too.
func tooLarge(limit int) *Fault {
	return Refuse(codes.ResourceExhausted, ReasonBodyTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit)).WithHTTP(http.StatusRequestEntityTooLarge)
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
