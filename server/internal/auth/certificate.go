package auth

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Certificates says what callers may do who show a client certificate instead
// of a token. Whether an authority of ours signed it is for the handshake.
type Certificates struct {
	byName map[string]Scopes
	now    func() time.Time
}

// NewCertificates reads entries NAME=SCOPES, where a name is a DNS name or a
// URI of the certificate and the scopes are separated by spaces.
func NewCertificates(entries []string, now func() time.Time) (*Certificates, error) {
	c := &Certificates{byName: map[string]Scopes{}, now: now}
	for _, entry := range entries {
		// A URI may hold an equals sign, a scope never does.
		i := strings.LastIndex(entry, "=")
		if i <= 0 {
			return nil, fmt.Errorf("%q is not NAME=SCOPES", entry)
		}
		name := strings.TrimSpace(entry[:i])
		scopes, err := ParseScopes(entry[i+1:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(scopes.List()) == 0 {
			return nil, fmt.Errorf("%s has no scope", name)
		}
		if _, twice := c.byName[name]; twice {
			return nil, fmt.Errorf("%s is named twice", name)
		}
		c.byName[name] = scopes
	}
	return c, nil
}

// Verify returns the caller that a verified certificate stands for. One that
// stands for nobody is a *job.UnauthenticatedError. The check of its time is
// repeated here, because connections outlive handshakes.
func (c *Certificates) Verify(certificate *x509.Certificate) (Principal, error) {
	names := slices.Clone(certificate.DNSNames)
	for _, uri := range certificate.URIs {
		names = append(names, uri.String())
	}
	var found []string
	for _, name := range names {
		if _, ok := c.byName[name]; ok && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	now := c.now()
	switch {
	case now.Before(certificate.NotBefore) || now.After(certificate.NotAfter):
		return Principal{}, unauthenticated("the client certificate has expired")
	case len(found) == 0:
		return Principal{}, unauthenticated("no name of the client certificate may call: it needs an entry of --client-cert-scopes, or the call a bearer token")
	case len(found) > 1:
		return Principal{}, unauthenticated("the client certificate has several names that may call; it must have one")
	}
	return Principal{Subject: "certificate:" + found[0], Scopes: c.byName[found[0]]}, nil
}
