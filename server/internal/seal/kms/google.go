package kms

import (
	"context"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"net"
	"net/url"
	"os"

	"github.com/tink-crypto/tink-go/v2/tink"
	cloudkms "google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/option"
)

// google is a key of Google Cloud KMS. Tink's own adapter asks for versions of
// Google's libraries that don't agree with ours.
type google struct {
	name string
	keys *cloudkms.ProjectsLocationsKeyRingsCryptoKeysService
}

// endpointVariable names another endpoint, such as a private one, as for gcloud.
const endpointVariable = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS"

// openGoogle takes the credentials and the endpoint that Google's tools take.
func openGoogle(ctx context.Context, name string) (tink.AEADWithContext, error) {
	var options []option.ClientOption
	if endpoint := os.Getenv(endpointVariable); endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "https" && !loopback(u) {
			return nil, errors.New("the variable " + endpointVariable + " must be an https address")
		}
		options = append(options, option.WithEndpoint(endpoint))
	}
	service, err := cloudkms.NewService(ctx, options...)
	if err != nil {
		return nil, err
	}
	return google{name, service.Projects.Locations.KeyRings.CryptoKeys}, nil
}

// loopback tells whether an address is on this machine, where plain text is safe.
func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && ip != nil && ip.IsLoopback()
}

// errDamaged says that bytes changed on their way to the service or back.
var errDamaged = errors.New("the answer of Cloud KMS does not have its checksum")

func (g google) EncryptWithContext(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	answer, err := g.keys.Encrypt(g.name, &cloudkms.EncryptRequest{
		Plaintext: encode(plaintext), PlaintextCrc32c: checksum(plaintext),
		AdditionalAuthenticatedData: encode(ad), AdditionalAuthenticatedDataCrc32c: checksum(ad),
	}).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	ciphertext, err := decode(answer.Ciphertext, answer.CiphertextCrc32c)
	if err == nil && (!answer.VerifiedPlaintextCrc32c || !answer.VerifiedAdditionalAuthenticatedDataCrc32c) {
		err = errDamaged
	}
	return ciphertext, err
}

func (g google) DecryptWithContext(ctx context.Context, ciphertext, ad []byte) ([]byte, error) {
	answer, err := g.keys.Decrypt(g.name, &cloudkms.DecryptRequest{
		Ciphertext: encode(ciphertext), CiphertextCrc32c: checksum(ciphertext),
		AdditionalAuthenticatedData: encode(ad), AdditionalAuthenticatedDataCrc32c: checksum(ad),
	}).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	return decode(answer.Plaintext, answer.PlaintextCrc32c)
}

func encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func decode(text string, sum int64) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err == nil && checksum(data) != sum {
		err = errDamaged
	}
	return data, err
}

func checksum(data []byte) int64 {
	return int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}
