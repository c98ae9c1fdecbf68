package kmstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	awsRegion = "eu-central-1"
	awsARN    = "arn:aws:kms:" + awsRegion + ":123456789012:key/0f9fd55e-1ab2-4c22-8e3f-5ce6cf3b9e5a"
	awsID     = "AKIAIOSFODNN7EXAMPLE"
	awsSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" // of AWS's own documentation
	// maxAWS is what Encrypt takes, in bytes.
	maxAWS   = 4096
	awsMedia = "application/x-amz-json-1.1"
)

// StartAWS starts AWS KMS with one key.
func StartAWS(t testing.TB) *Server {
	t.Helper()
	var s *Server
	s = newServer(t, func(w http.ResponseWriter, r *http.Request) { s.aws(w, r) })
	s.Address, s.Other = "aws-kms://"+awsARN, "aws-kms://"+strings.Replace(awsARN, "0f9f", "0000", 1)
	s.Secret = awsSecret
	s.Env = []string{
		"AWS_ACCESS_KEY_ID=" + awsID, "AWS_SECRET_ACCESS_KEY=" + awsSecret, "AWS_ENDPOINT_URL_KMS=" + s.http.URL,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
	}
	return s
}

func (s *Server) awsRefuse(w http.ResponseWriter, kind, message string) {
	s.Refused.Add(1)
	answer(w, awsMedia, http.StatusBadRequest, map[string]string{"__type": kind, "message": message})
}

func (s *Server) aws(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if why := signedByAWS(r, body); why != "" {
		s.awsRefuse(w, why, "The request signature we calculated does not match the signature you provided.")
		return
	}
	var in struct {
		KeyID                     string `json:"KeyId"`
		Plaintext, CiphertextBlob []byte
		EncryptionContext         map[string]string
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != awsMedia || json.Unmarshal(body, &in) != nil {
		s.awsRefuse(w, "SerializationException", "")
		return
	}
	if in.KeyID != awsARN {
		s.awsRefuse(w, "NotFoundException", "Key '"+in.KeyID+"' does not exist")
		return
	}
	context, _ := json.Marshal(in.EncryptionContext) // the keys in order
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		if n := len(in.Plaintext); n == 0 || n > maxAWS {
			s.awsRefuse(w, "ValidationException", "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096")
			return
		}
		answer(w, awsMedia, http.StatusOK, map[string]any{"KeyId": awsARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "CiphertextBlob": s.seal(in.Plaintext, context)})
	case "TrentService.Decrypt":
		plaintext, ok := s.open(in.CiphertextBlob, context)
		if !ok {
			s.awsRefuse(w, "InvalidCiphertextException", "")
			return
		}
		answer(w, awsMedia, http.StatusOK, map[string]any{"KeyId": awsARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "Plaintext": plaintext})
	default:
		s.awsRefuse(w, "UnknownOperationException", "")
	}
}

var awsAuthorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)

// signedByAWS signs the request again as its caller must have, and answers the
// exception that it deserves.
func signedByAWS(r *http.Request, body []byte) (exception string) {
	given := awsAuthorization.FindStringSubmatch(r.Header.Get("Authorization"))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	switch {
	case given == nil:
		return "IncompleteSignatureException"
	case err != nil || time.Since(at).Abs() > 5*time.Minute || !strings.HasPrefix(r.Header.Get("X-Amz-Date"), given[2]):
		return "InvalidSignatureException"
	case given[1] != awsID:
		return "UnrecognizedClientException"
	case given[3] != awsRegion || given[4] != "kms":
		return "InvalidSignatureException"
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return "InvalidSignatureException"
	}
	signed := strings.Split(given[5], ";")
	for _, name := range signed {
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	for _, needed := range []string{"host", "x-amz-date", "x-amz-target"} {
		if !strings.Contains(";"+given[5]+";", ";"+needed+";") {
			return "IncompleteSignatureException"
		}
	}
	sum := sha256.Sum256(body)
	again.ContentLength = r.ContentLength
	err = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: awsID, SecretAccessKey: awsSecret}, again, hex.EncodeToString(sum[:]), "kms", awsRegion, at)
	if err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return "InvalidSignatureException"
	}
	return ""
}
