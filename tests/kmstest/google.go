package kmstest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"hash/crc32"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	cloudkms "google.golang.org/api/cloudkms/v1"
)

const (
	googleName    = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/k"
	googleAccount = "carillon@p.iam.gserviceaccount.com"
	// maxGoogle is what Encrypt takes, in bytes.
	maxGoogle   = 64 << 10
	googleMedia = "application/json; charset=UTF-8"
)

// StartGoogle starts Google Cloud KMS with one key, and the endpoint that gives
// service accounts their tokens.
func StartGoogle(t testing.TB) *Server {
	t.Helper()
	account, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	token := rand.Text()
	mux := http.NewServeMux()
	s := newServer(t, mux.ServeHTTP)
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if !assertedBy(&account.PublicKey, r, s.http.URL+"/token") {
			s.Refused.Add(1)
			answer(w, googleMedia, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
			return
		}
		answer(w, googleMedia, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3599})
	})
	mux.HandleFunc("POST /v1/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			s.googleRefuse(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
			return
		}
		s.google(w, r)
	})
	der, err := x509.MarshalPKCS8PrivateKey(account)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": string(key), "client_email": googleAccount,
		"client_id": "1", "token_uri": s.http.URL + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Address, s.Other = "gcp-kms://"+googleName, "gcp-kms://"+googleName+"2"
	s.Secret = token
	s.Env = []string{"GOOGLE_APPLICATION_CREDENTIALS=" + file, "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS=" + s.http.URL + "/"}
	return s
}

// assertedBy tells whether a request for a token is signed by the account's key,
// as RFC 7523 says.
func assertedBy(key *rsa.PublicKey, r *http.Request, audience string) bool {
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return false
	}
	signed, err := jwt.ParseSigned(r.PostForm.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return false
	}
	var claims jwt.Claims
	var scope struct {
		Scope string `json:"scope"`
	}
	if signed.Claims(key, &claims, &scope) != nil || !strings.Contains(scope.Scope, "https://www.googleapis.com/auth/cloud") {
		return false
	}
	return claims.Validate(jwt.Expected{Issuer: googleAccount, AnyAudience: jwt.Audience{audience}, Time: time.Now()}) == nil
}

func (s *Server) googleRefuse(w http.ResponseWriter, code int, status, message string) {
	s.Refused.Add(1)
	answer(w, googleMedia, code, map[string]any{"error": map[string]any{"code": code, "status": status, "message": message}})
}

func (s *Server) google(w http.ResponseWriter, r *http.Request) {
	name, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	if name != googleName {
		s.googleRefuse(w, http.StatusNotFound, "NOT_FOUND", "CryptoKey "+name+" not found.")
		return
	}
	var encrypt cloudkms.EncryptRequest
	var decrypt cloudkms.DecryptRequest
	switch verb {
	case "encrypt":
		if json.NewDecoder(r.Body).Decode(&encrypt) != nil {
			s.googleRefuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
			return
		}
		plaintext, good := checked(encrypt.Plaintext, encrypt.PlaintextCrc32c)
		bound, alsoGood := checked(encrypt.AdditionalAuthenticatedData, encrypt.AdditionalAuthenticatedDataCrc32c)
		if !good || !alsoGood || len(plaintext) == 0 || len(plaintext)+len(bound) > maxGoogle {
			s.googleRefuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The checksum in field plaintext_crc32c did not match the data, or its size is wrong.")
			return
		}
		sealed := s.seal(plaintext, bound)
		answer(w, googleMedia, http.StatusOK, cloudkms.EncryptResponse{
			Name: googleName + "/cryptoKeyVersions/1", Ciphertext: base64.StdEncoding.EncodeToString(sealed), CiphertextCrc32c: s.checksum(sealed),
			VerifiedPlaintextCrc32c: !s.Damage.Load(), VerifiedAdditionalAuthenticatedDataCrc32c: true, ProtectionLevel: "HSM",
		})
	case "decrypt":
		if json.NewDecoder(r.Body).Decode(&decrypt) != nil {
			s.googleRefuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
			return
		}
		sealed, good := checked(decrypt.Ciphertext, decrypt.CiphertextCrc32c)
		bound, alsoGood := checked(decrypt.AdditionalAuthenticatedData, decrypt.AdditionalAuthenticatedDataCrc32c)
		plaintext, opened := s.open(sealed, bound)
		if !good || !alsoGood || !opened {
			s.googleRefuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Decryption failed: the ciphertext is invalid.")
			return
		}
		answer(w, googleMedia, http.StatusOK, cloudkms.DecryptResponse{
			Plaintext: base64.StdEncoding.EncodeToString(plaintext), PlaintextCrc32c: s.checksum(plaintext), UsedPrimary: true, ProtectionLevel: "HSM",
		})
	default:
		s.googleRefuse(w, http.StatusNotFound, "NOT_FOUND", "There is no such method.")
	}
}

// checked decodes bytes that must come with their checksum.
func checked(text string, sum int64) (data []byte, ok bool) {
	data, err := base64.StdEncoding.DecodeString(text)
	return data, err == nil && (sum == castagnoli(data))
}

func (s *Server) checksum(data []byte) int64 {
	sum := castagnoli(data)
	if s.Damage.Load() {
		sum++
	}
	return sum
}

func castagnoli(data []byte) int64 {
	return int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}
