package grpccall

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/metadata"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	defaultTimeout = 30 * time.Second
	minTimeout     = time.Millisecond
	maxTimeout     = time.Hour
	// maxSaid bounds what of a server's words is shown, in bytes.
	maxSaid = 300
)

// reasonReserved refuses metadata that users can't set.
const reasonReserved = "RESERVED_METADATA"

// reserved metadata belong to HTTP/2 or to this service, as do all that begin
// with grpc- or carillon-.
var reserved = map[string]bool{
	"connection": true, "content-length": true, "content-type": true, "host": true, "idempotency-key": true, "keep-alive": true,
	"proxy-connection": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true, "user-agent": true,
}

// call is what the arguments ask for.
type call struct {
	address, method string
	body            any
	metadata        metadata.MD
	timeout         time.Duration
	// expect lists the codes of a success.
	expect []string
	// described is nil when the server must be asked.
	described *method
	plaintext bool
	// authorities is nil for the system's.
	authorities *x509.CertPool
}

// String names the call in errors.
func (c *call) String() string { return c.address + " " + c.method }

func (c *call) expects(name string) bool { return slices.Contains(c.expect, name) }

// readCall reads the arguments, or refuses them with a *job.InvalidError.
func readCall(args task.Args) (*call, error) {
	r := task.Read(args)
	c := &call{
		address: r.String("address"), method: r.String("method"), body: r.Any("body"), metadata: readMetadata(r),
		timeout: defaultTimeout, expect: readCodes(r), plaintext: r.Bool("plaintext"),
	}
	if r.Has("address") {
		checkAddress(r, c.address)
	}
	if timeout := r.Duration("timeout", minTimeout, maxTimeout); timeout > 0 {
		c.timeout = timeout
	}
	if text := r.String("caCertificate"); text != "" {
		c.authorities = x509.NewCertPool()
		if !c.authorities.AppendCertsFromPEM([]byte(text)) {
			r.Refuse("caCertificate", task.ReasonInvalidValue, "holds no certificate in PEM")
		}
		if c.plaintext {
			r.Refuse("caCertificate", task.ReasonInvalidValue, "is of no use with plaintext")
		}
	}
	if text := r.String("descriptorSet"); text != "" && c.method != "" {
		c.describe(r, text)
	}
	return c, r.Done()
}

func checkAddress(r *task.Reader, address string) {
	host, port, err := net.SplitHostPort(address)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || number == 0 || host == "" || strings.ContainsFunc(address, func(c rune) bool { return c <= ' ' || c == '/' || c > '~' }) {
		r.Refuse("address", task.ReasonInvalidValue, `must be host:port, such as "billing.internal:443"`)
	}
}

// describe finds the method in a descriptor set and checks the body by it.
func (c *call) describe(r *task.Reader, text string) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		r.Refuse("descriptorSet", task.ReasonInvalidValue, "is not a FileDescriptorSet in base64")
		return
	}
	files, err := readSet(raw)
	if err != nil {
		r.Refuse("descriptorSet", task.ReasonInvalidValue, "%v", err)
		return
	}
	switch c.described, err = find(files, c.method); {
	case errors.Is(err, errStreaming):
		r.Refuse("method", ReasonStreaming, "%v", err)
		return
	case err != nil:
		r.Refuse("method", ReasonUnknownMethod, "the descriptorSet %v", err)
		return
	}
	if _, err := c.described.request(c.body); err != nil {
		r.Refuse("body", ReasonBadBody, "%v", err)
	}
}

func readMetadata(r *task.Reader) metadata.MD {
	md := metadata.MD{}
	values := r.StringMap("metadata")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		path, key, value := job.JoinPath("metadata", task.Field(name)), strings.ToLower(name), values[name]
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			r.Refuse(path, task.ReasonInvalidValue, "is not a valid key of metadata")
		case reserved[key] || strings.HasPrefix(key, "grpc-") || strings.HasPrefix(key, "carillon-"):
			r.Refuse(path, reasonReserved, "is set by gRPC or by the service")
		case md[key] != nil:
			r.Refuse(path, task.ReasonInvalidValue, "is given twice, in different case")
		case strings.HasSuffix(key, "-bin"):
			raw, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				r.Refuse(path, task.ReasonInvalidValue, "its value must be base64")
			}
			value = string(raw)
		case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }):
			r.Refuse(path, task.ReasonInvalidValue, "its value must be printable ASCII; end the key in -bin to send other bytes")
		}
		md.Set(key, value)
	}
	return md
}

// readCodes reads one code or a list of them.
func readCodes(r *task.Reader) []string {
	_, many := r.Any("expectCode").([]any)
	names := r.Strings("expectCode")
	for i, name := range names {
		path := "expectCode"
		if many {
			path = task.Index(path, i)
		}
		if _, known := code.Code_value[name]; !known {
			r.Refuse(path, task.ReasonInvalidValue, "must be the name of a gRPC code, such as OK or NOT_FOUND")
		}
	}
	if len(names) == 0 {
		return []string{"OK"}
	}
	return names
}

// harmless is what of a server's words is shown: cut, on one line, without the
// metadata that it was sent.
func (c *call) harmless(text string) string {
	for _, values := range c.metadata {
		for _, value := range values {
			if len(value) >= 4 {
				text = strings.ReplaceAll(text, value, "[masked]")
			}
		}
	}
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}
