package remote

import (
	"maps"
	"slices"
	"strings"

	"github.com/pointscene/carillon/server/internal/remote/acc"
)

// kind describes one type of remote: which keys its stored configuration may
// have, and what the library is given for them.
type kind struct {
	// backend is the library's name; "" for types that it does not serve.
	backend string
	keys    map[string]key
	// together lists sets of keys of which at least one is needed.
	together [][]string
	// fixed are options that are ours to set and nobody's to change.
	fixed map[string]string
	// besides lists, by key, the keys that must be there if that one is.
	besides map[string][]string
	// apart lists pairs of keys of which only one may be there.
	apart [][2]string
	// bucket is set when the first part of a path is a bucket, and needed.
	bucket bool
	// unlisted is set when the buckets can't be listed.
	unlisted bool
}

// key describes one key of a stored configuration.
type key struct {
	// option is the library's name for the key, when it is another one.
	option string
	// required keys must be there and not empty.
	required bool
	// secret values are masked wherever text leaves this package.
	secret bool
	// values, when there are any, are the only ones allowed.
	values []string
	// ours are read by this package, and not shown to the library.
	ours bool
	// check refuses a value; its message never holds the value.
	check func(string) error
}

func (k key) optionName(name string) string {
	if k.option != "" {
		return k.option
	}
	return name
}

// The rest of what a kind's keys need in common.
var (
	plain      = key{}
	needed     = key{required: true}
	secret     = key{secret: true}
	needSecret = key{required: true, secret: true}
	ours       = key{ours: true}
	ourSecret  = key{ours: true, secret: true}
	boolean    = key{check: checkBool}
	needToken  = key{required: true, secret: true, check: checkToken}
)

const (
	typeLocal = "local"
	// typeWork is that of an execution's work directory; nothing of it is stored.
	typeWork = "work"
	typeACC  = "acc"
)

// kinds is the whole list of what a configuration can say. A key that is not
// here can't be stored and never reaches the library.
var kinds = map[string]kind{
	typeLocal: {keys: map[string]key{}},
	typeGCS:   gcsKind,
	typeAzure: azureKind,
	typeACC: {
		backend: acc.Name,
		keys: map[string]key{
			"client_id": plain, "client_secret": secret, "scope": ours, "endpoint": {check: checkEndpoint},
			"token":      {secret: true, check: checkToken},
			"token_type": ours, "expiry": {ours: true, check: checkTime},
			"access_token": ourSecret, "refresh_token": ourSecret,
			"hub_id": needed, "project_id": needed,
		},
		together: [][]string{{"token", "access_token", "refresh_token"}},
		// The server's own app must not be shown to another host.
		besides: map[string][]string{"endpoint": {"client_id", "client_secret"}},
	},
	"drive": {
		backend: "drive",
		keys: map[string]key{
			"client_id": needed, "client_secret": needSecret, "token": needToken,
			"scope": plain, "root_folder_id": plain, "team_drive": plain,
			"shared_with_me": boolean, "skip_gdocs": boolean, "export_formats": plain,
			"skip_shortcuts": boolean, "skip_dangling_shortcuts": boolean,
			"use_trash": boolean, "acknowledge_abuse": boolean,
		},
	},
	"dropbox": {
		backend: "dropbox",
		keys: map[string]key{
			"app_key":    {option: "client_id"},
			"app_secret": {option: "client_secret", secret: true},
			"client_id":  plain, "client_secret": secret,
			"token": needToken, "root_namespace": plain,
		},
		together: [][]string{{"app_key", "client_id"}, {"app_secret", "client_secret"}},
	},
	"s3": {
		backend: "s3",
		keys: map[string]key{
			"provider": plain, "access_key_id": needed, "secret_access_key": needSecret,
			"session_token": secret, "region": plain, "endpoint": {check: checkEndpoint},
			"location_constraint": plain, "acl": plain, "storage_class": plain,
			"server_side_encryption": plain, "sse_kms_key_id": plain,
			"force_path_style": boolean, "requester_pays": boolean,
			"use_accelerate_endpoint": boolean, "use_dual_stack": boolean,
			"list_version": {values: []string{"0", "1", "2"}}, "disable_checksum": boolean,
		},
		// Buckets are never created: some servers answer the attempt with an error.
		fixed:  map[string]string{"no_check_bucket": "true"},
		bucket: true,
	},
	"sftp": {
		backend: "sftp",
		keys: map[string]key{
			"host": {required: true, check: checkHost}, "port": {check: checkPort},
			// Without a user the library takes the name of the host's own.
			"user": needed, "pass": secret,
			"key_pem": secret, "key_file_pass": secret, "pubkey": plain,
			"host_keys": plain, "disable_hashcheck": boolean,
			"shell_type": {values: []string{"none", "unix", "powershell", "cmd"}},
		},
		// Without either the library asks the host's ssh agent.
		together: [][]string{{"pass", "key_pem"}},
	},
	"webdav": {
		backend: "webdav",
		keys: map[string]key{
			"url":  {required: true, check: checkURL},
			"user": plain, "pass": secret, "bearer_token": secret,
			"vendor":                  {values: []string{"fastmail", "nextcloud", "owncloud", "infinitescale", "rclone", "other"}},
			"owncloud_exclude_shares": boolean, "owncloud_exclude_mounts": boolean,
		},
	},
}

// dangerous are options of the library that run commands, read the host's
// files or use the host's identity: they get a reason of their own.
var dangerous = []string{
	"bearer_token_command", "ssh", "server_command", "key_file", "pubkey_file", "known_hosts_file",
	"key_use_agent", "ask_password", "http_proxy", "socks_proxy", "set_env", "unix_socket", "subsystem",
	"env_auth", "profile", "shared_credentials_file", "role_arn", "sts_endpoint",
	"service_account_file", "impersonate", "anonymous",
	"use_msi", "msi_object_id", "msi_client_id", "msi_mi_res_id", "use_az", "use_emulator", "connection_string",
	"client_certificate_path", "service_principal_file", "disable_instance_discovery", "auth_url", "token_url",
	"download_url", "ibm_iam_endpoint", "headers", "auth_redirect",
}

func isDangerous(name string) bool {
	return slices.Contains(dangerous, name) ||
		strings.HasSuffix(name, "sum_command") ||
		strings.HasPrefix(name, "global.") || strings.HasPrefix(name, "override.")
}

// Types returns the names of all types that a configuration can have.
func Types() []string { return slices.Sorted(maps.Keys(kinds)) }

// Keys returns the keys besides type that a configuration of this type can
// have, in order; none for an unknown type.
func Keys(typ string) []string { return slices.Sorted(maps.Keys(kinds[typ].keys)) }

// Description is what clients may know of a type.
type Description struct {
	Name string
	// Keys are those besides type: those that must be there first, then by name.
	Keys []KeyDescription
	// Alternatives are sets of keys of which at least one is needed.
	Alternatives [][]string
	// Bucket says that the first part of a path is a bucket.
	Bucket bool
}

// KeyDescription is what clients may know of a key.
type KeyDescription struct {
	Name             string
	Required, Secret bool
	// Values are the only ones that it may have, none for any.
	Values []string
}

// Describe answers all types that a configuration can have, by name.
func Describe() []Description {
	var all []Description
	for _, typ := range Types() {
		k := kinds[typ]
		d := Description{Name: typ, Alternatives: k.together, Bucket: k.bucket}
		for _, required := range []bool{true, false} {
			for _, name := range Keys(typ) {
				if one := k.keys[name]; one.required == required {
					d.Keys = append(d.Keys, KeyDescription{Name: name, Required: required, Secret: one.secret, Values: one.values})
				}
			}
		}
		all = append(all, d)
	}
	return all
}

// IsSecret reports whether the values of a type's key are secrets. A key that
// is not known is one.
func IsSecret(typ, name string) bool {
	k, ok := kinds[typ].keys[name]
	return !ok || k.secret
}
