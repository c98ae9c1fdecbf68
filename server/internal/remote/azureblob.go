package remote

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	_ "github.com/rclone/rclone/backend/azureblob"
)

const typeAzure = "azureblob"

// azureKind is Azure Blob Storage, by an account's key or a shared access
// signature: no login, no identity of the host's. To leave the type out,
// remove this file. Its way out is the library's shared transport (setup.go).
var azureKind = kind{
	backend: "azureblob",
	keys: map[string]key{
		"account": {check: checkAzureAccount}, "key": secret, "sas_url": {secret: true, check: checkSAS},
		"endpoint": {check: checkURL}, "disable_checksum": boolean,
		"access_tier": {values: []string{"Hot", "Cool", "Cold", "Archive"}},
	},
	fixed:    map[string]string{"no_check_container": "true"},
	together: [][]string{{"key", "sas_url"}},
	besides:  map[string][]string{"key": {"account"}, "endpoint": {"key"}},
	apart:    [][2]string{{"key", "sas_url"}},
	bucket:   true,
}

var azureAccountRE = regexp.MustCompile(`^[a-z0-9]{3,24}$`)

// checkAzureAccount: the library makes a host name of it.
func checkAzureAccount(text string) error {
	if !azureAccountRE.MatchString(text) {
		return errors.New("must have 3 to 24 small letters and digits")
	}
	return nil
}

// checkSAS wants a URL with a signature.
func checkSAS(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Query().Get("sig") == "" {
		return errors.New("must be the http or https URL of an account or container, with its signature")
	}
	return nil
}

// azurePlace is where the files of a configuration lie, in whichever way it
// says that.
func azurePlace(options map[string]string) string {
	for _, text := range []string{options["endpoint"], options["sas_url"]} {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			return strings.ToLower(u.Host)
		}
	}
	return options["account"] + ".blob.core.windows.net"
}

// azureExpiry is when a shared access signature ends, zero when there is none.
func azureExpiry(options map[string]string) time.Time {
	u, err := url.Parse(options["sas_url"])
	if err != nil {
		return time.Time{}
	}
	end, _ := time.Parse(time.RFC3339, u.Query().Get("se"))
	return end
}

// azureSignature is the part of a shared access signature that is a secret.
func azureSignature(options map[string]string) string {
	u, err := url.Parse(options["sas_url"])
	if err != nil {
		return ""
	}
	return u.Query().Get("sig")
}

// azureStatus is the status and the code of an answer that is an error.
func azureStatus(err error) (status int, code string) {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.StatusCode, e.ErrorCode
	}
	return 0, ""
}
