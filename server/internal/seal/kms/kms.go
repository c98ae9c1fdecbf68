// Package kms opens the keys of key management services that wrap a keyset
// file: HashiCorp Vault's transit engine, AWS KMS and Google Cloud KMS.
//
// Rules:
//   - A key is named by one URL, which holds no secret. Credentials come from
//     where the service's own tools take them.
//   - A service is called only to wrap and to unwrap a file, each time within
//     [callLimit]; nothing is kept open for later. So an outage stops starts
//     and changes of the keyset, and nothing else.
package kms

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	vault "github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/pointscene/carillon/server/internal/seal"
)

// callLimit bounds one call of a service.
const callLimit = 15 * time.Second

// The schemes of keys.
const (
	schemeVault = "hcvault"
	schemeAWS   = "aws-kms"
	schemeGCP   = "gcp-kms"
)

var errScheme = errors.New("must begin with hcvault://, aws-kms:// or gcp-kms://")

// Check refuses an address that names no key, without calling anybody.
func Check(address string) error {
	scheme, rest, _ := strings.Cut(address, "://")
	switch scheme {
	case schemeVault:
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || !strings.Contains(u.Path, "/keys/") || strings.HasSuffix(u.Path, "/") {
			return errors.New("must look like hcvault://HOST:PORT/transit/keys/NAME")
		}
		return nil
	case schemeAWS:
		if !strings.HasPrefix(rest, "arn:") || !strings.Contains(rest, ":kms:") {
			return errors.New("must look like aws-kms://arn:aws:kms:REGION:ACCOUNT:key/ID")
		}
		return nil
	case schemeGCP:
		if !strings.HasPrefix(rest, "projects/") || !strings.Contains(rest, "/cryptoKeys/") {
			return errors.New("must look like gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K")
		}
		return nil
	}
	return errScheme
}

// Open returns the key that an address names. It does not call the service.
func Open(ctx context.Context, address string) (*seal.Wrapper, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	scheme, rest, _ := strings.Cut(address, "://")
	var aead tink.AEADWithContext
	var err error
	switch scheme {
	case schemeVault:
		aead, err = openVault(address)
	case schemeAWS:
		aead, err = awskms.NewAEADWithContext(ctx, rest)
	case schemeGCP:
		aead, err = openGoogle(ctx, rest)
	}
	if err != nil {
		return nil, fmt.Errorf("open the key of %s: %w", scheme, err)
	}
	return &seal.Wrapper{Name: scheme, AEAD: limited{aead}}, nil
}

// openVault takes the token, the authority and the namespace from Vault's own
// variables; the address is that of the URL, always by TLS.
func openVault(address string) (tink.AEADWithContext, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	config := vault.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	config.Address, config.AgentAddress = "https://"+u.Host, ""
	config.Timeout, config.MaxRetries = callLimit, 1
	client, err := vault.NewClient(config)
	if err != nil {
		return nil, err
	}
	if client.Token() == "" {
		return nil, errors.New("the variable VAULT_TOKEN is not set")
	}
	keys, err := hcvault.NewClientWithAEADOptions(address, client.Logical())
	if err != nil {
		return nil, err
	}
	aead, err := keys.GetAEAD(address)
	if err != nil {
		return nil, err
	}
	return patient{aead}, nil
}

// patient is an AEAD that bounds its calls by itself.
type patient struct{ aead tink.AEAD }

func (p patient) EncryptWithContext(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	return p.aead.Encrypt(plaintext, ad)
}

func (p patient) DecryptWithContext(_ context.Context, ciphertext, ad []byte) ([]byte, error) {
	return p.aead.Decrypt(ciphertext, ad)
}

// limited gives each call its limit.
type limited struct{ aead tink.AEADWithContext }

func (l limited) EncryptWithContext(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return l.aead.EncryptWithContext(ctx, plaintext, ad)
}

func (l limited) DecryptWithContext(ctx context.Context, ciphertext, ad []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return l.aead.DecryptWithContext(ctx, ciphertext, ad)
}
