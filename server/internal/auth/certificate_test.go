package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// What a certificate may do is what its one name is mapped to, compared whole.
func TestCertificates(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c, err := NewCertificates([]string{"billing.internal=instance-read-42", "spiffe://example.org/ops=operator"}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	named := func(common string, dns []string, uris ...string) *x509.Certificate {
		certificate := &x509.Certificate{
			Subject: pkix.Name{CommonName: common}, DNSNames: dns, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour),
			EmailAddresses: []string{"billing.internal"},
		}
		for _, text := range uris {
			uri, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			certificate.URIs = append(certificate.URIs, uri)
		}
		return certificate
	}
	early, late := named("", []string{"billing.internal"}), named("", []string{"billing.internal"})
	early.NotBefore, late.NotAfter = at.Add(time.Second), at.Add(-time.Second)
	for name, test := range map[string]struct {
		certificate *x509.Certificate
		want        string
	}{
		"a DNS name":           {named("", []string{"other", "billing.internal"}), "instance-read-42"},
		"a URI":                {named("", nil, "spiffe://example.org/ops"), "operator"},
		"a name twice":         {named("", []string{"billing.internal", "billing.internal"}), "instance-read-42"},
		"the common name":      {named("billing.internal", nil), ""},
		"no name":              {named("", nil), ""},
		"two names":            {named("", []string{"billing.internal"}, "spiffe://example.org/ops"), ""},
		"a part of a name":     {named("", []string{"billing", "internal", "x.billing.internal", "billing.internal.evil"}), ""},
		"another spelling":     {named("", []string{"Billing.Internal", "billing.internal."}), ""},
		"a wildcard":           {named("", []string{"*.internal", "*"}), ""},
		"another URI":          {named("", nil, "spiffe://example.org/ops/x", "spiffe://example.org/", "https://example.org/ops"), ""},
		"not yet":              {early, ""},
		"not any more":         {late, ""},
		"only an unknown name": {named("", []string{"other"}), ""},
	} {
		p, err := c.Verify(test.certificate)
		var refused *job.UnauthenticatedError
		if test.want == "" && !errors.As(err, &refused) || test.want != "" && (err != nil || p.Scopes.String() != test.want) {
			t.Errorf("%s: %q, %v, want %q", name, p.Scopes, err, test.want)
		}
	}
	for _, bad := range []string{"", "=operator", "a=", "a=nonsense", "a", "a= "} {
		if _, err := NewCertificates([]string{bad}, time.Now); err == nil {
			t.Errorf("%q is taken for an entry", bad)
		}
	}
	if _, err := NewCertificates([]string{"a=operator", "a=instance-create"}, time.Now); err == nil {
		t.Error("a name has two entries")
	}
}
