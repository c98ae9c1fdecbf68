package remote

import (
	"encoding/json"
	"errors"

	_ "github.com/rclone/rclone/backend/googlecloudstorage"
)

const typeGCS = "gcs"

// gcsKind is Google Cloud Storage, by the key of a service account: no login,
// no identity of the host's. To leave the type out, remove this file.
var gcsKind = kind{
	backend: "google cloud storage",
	keys: map[string]key{
		"service_account_credentials": {required: true, secret: true, check: checkServiceAccount},
		"user_project":                plain, "endpoint": {check: checkEndpoint}, "storage_class": plain,
		"object_acl": {values: []string{"authenticatedRead", "bucketOwnerFullControl", "bucketOwnerRead", "private", "projectPrivate", "publicRead"}},
		// Where access is by bucket, as Google advises, objects have no lists.
		"bucket_policy_only": boolean,
	},
	fixed:  map[string]string{"no_check_bucket": "true"},
	bucket: true,
	// They are listed by a project, which a configuration does not name.
	unlisted: true,
}

// checkServiceAccount wants the JSON key of a service account. Other kinds of
// credentials that Google has could run a command or ask the host.
func checkServiceAccount(text string) error {
	var account struct {
		Type        string `json:"type"`
		ClientEmail string `json:"client_email"`
		PrivateKey  string `json:"private_key"`
		TokenURI    string `json:"token_uri"`
	}
	switch err := json.Unmarshal([]byte(text), &account); {
	case err != nil:
		return errors.New("must be the JSON key of a service account, as Google gives it for download")
	case account.Type != "service_account":
		return errors.New("its type is not service_account")
	case account.ClientEmail == "" || account.PrivateKey == "" || account.TokenURI == "":
		return errors.New("has not all of client_email, private_key and token_uri")
	}
	return checkURL(account.TokenURI)
}
