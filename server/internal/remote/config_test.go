package remote

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/job"
)

const tokenText = `{"access_token":"sl.BfH6SMA...","token_type":"Bearer","refresh_token":"sl.0gH3...","expiry":"2025-05-20T14:45:00.123456789Z"}`

type object = map[string]any

// The configurations that existing clients send.
func TestConfigsOfExistingClients(t *testing.T) {
	t.Parallel()
	tests := map[string]object{
		"drive":   {"type": "drive", "client_id": "{CLIENT_ID}", "client_secret": "{CLIENT_SECRET}", "scope": "drive", "token": tokenText},
		"dropbox": {"type": "dropbox", "app_key": "{APP_KEY}", "app_secret": "{APP_SECRET}", "token": tokenText},
		"aws_s3":  {"type": "s3", "provider": "AWS", "access_key_id": "{ACCESS_KEY}", "secret_access_key": "{SECRET_KEY}", "region": "{REGION}"},
		"acc": {"type": "acc", "hub_id": "b.2b7f...", "project_id": "b.0b55...",
			"token": `{"access_token":"eyJ...","token_type":"Bearer","refresh_token":"77Glm...","expiry":"2025-06-01T14:46:35.791030264+02:00","expires_in":3779}`},
		"acc_flat": {"type": "acc", "access_token": "eyJhb...", "token_type": "Bearer", "expiry": "2025-05-09T13:38:17Z", "refresh_token": "6On...",
			"client_id": "{CLIENT_ID}", "client_secret": "{CLIENT_SECRET}", "hub_id": "b.2b7...", "project_id": "b.0b5..."},
		"azure":      {"type": "azureblob", "account": "store", "key": "k"},
		"gcs":        {"type": "gcs", "service_account_credentials": object{"type": "service_account", "client_email": "e", "private_key": "k", "token_uri": "https://oauth2.googleapis.com/token"}},
		"local":      {"type": "local"},
		"webdav":     {"type": "webdav", "url": "https://dav.example.com/files/", "vendor": "nextcloud", "user": "u", "pass": "p"},
		"sftp-1":     {"type": "sftp", "host": "sftp.example.com", "port": float64(2222), "user": "u", "pass": "p"},
		"compatible": {"type": "s3", "access_key_id": "a", "secret_access_key": "b", "endpoint": "minio.example.com:9000", "force_path_style": true},
	}
	for name, raw := range tests {
		if _, _, err := ParseConfig(name, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseConfigMakesStrings(t *testing.T) {
	t.Parallel()
	typ, options, err := ParseConfig("x", object{"type": "drive", "client_id": "c", "client_secret": "s", "scope": nil,
		"shared_with_me": true, "team_drive": json.Number("17"), "root_folder_id": float64(1e15),
		"token": object{"access_token": "a", "expires_in": float64(3779)}})
	if err != nil || typ != "drive" {
		t.Fatal(typ, err)
	}
	want := map[string]string{"client_id": "c", "client_secret": "s", "shared_with_me": "true", "team_drive": "17",
		"root_folder_id": "1000000000000000", "token": `{"access_token":"a","expires_in":3779}`}
	if diff := cmp.Diff(want, options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestConfigRefusals(t *testing.T) {
	t.Parallel()
	s3 := func(extra object) object {
		raw := object{"type": "s3", "access_key_id": "TOPSECRET", "secret_access_key": "TOPSECRET"}
		for key, value := range extra {
			raw[key] = value
		}
		return raw
	}
	sftp := func(extra object) object {
		raw := object{"type": "sftp", "host": "h", "user": "u", "pass": "TOPSECRET"}
		for key, value := range extra {
			raw[key] = value
		}
		return raw
	}
	tests := map[string]struct {
		name string
		raw  object
		want []string // field and reason
	}{
		"name with a colon":        {"a:b", s3(nil), []string{`config["a:b"] BAD_REMOTE_NAME`}},
		"name of a connection":     {"x,y=z", s3(nil), []string{`config["x,y=z"] BAD_REMOTE_NAME`}},
		"empty name":               {"", s3(nil), []string{`config[""] BAD_REMOTE_NAME`}},
		"long name":                {strings.Repeat("n", 65), s3(nil), []string{`config["` + strings.Repeat("n", 64) + `…"] BAD_REMOTE_NAME`}},
		"no type":                  {"x", object{"access_key_id": "a"}, []string{"config.x.type UNKNOWN_REMOTE_TYPE"}},
		"unknown type":             {"x", object{"type": "ftp"}, []string{"config.x.type UNKNOWN_REMOTE_TYPE"}},
		"type that wraps":          {"x", object{"type": "crypt"}, []string{"config.x.type UNKNOWN_REMOTE_TYPE"}},
		"type that is no string":   {"x", object{"type": 7.0}, []string{"config.x.type UNKNOWN_REMOTE_TYPE"}},
		"unknown option":           {"x", s3(object{"colour": "TOPSECRET"}), []string{"config.x.colour UNKNOWN_OPTION"}},
		"option of another type":   {"x", s3(object{"host": "TOPSECRET"}), []string{"config.x.host UNKNOWN_OPTION"}},
		"options of local":         {"x", object{"type": "local", "root": "/"}, []string{"config.x.root UNKNOWN_OPTION"}},
		"host's identity":          {"x", s3(object{"env_auth": true}), []string{"config.x.env_auth OPTION_NOT_ALLOWED"}},
		"host's file":              {"x", s3(object{"shared_credentials_file": "/TOPSECRET"}), []string{"config.x.shared_credentials_file OPTION_NOT_ALLOWED"}},
		"command":                  {"x", sftp(object{"ssh": "TOPSECRET"}), []string{"config.x.ssh OPTION_NOT_ALLOWED"}},
		"command per hash":         {"x", sftp(object{"md5sum_command": "TOPSECRET"}), []string{"config.x.md5sum_command OPTION_NOT_ALLOWED"}},
		"process setting":          {"x", s3(object{"global.ca_cert": "TOPSECRET"}), []string{`config.x["global.ca_cert"] OPTION_NOT_ALLOWED`}},
		"several at once":          {"x", object{"type": "s3", "profile": "p", "zz": 1.0}, []string{"config.x.profile OPTION_NOT_ALLOWED", "config.x.zz UNKNOWN_OPTION", "config.x.access_key_id REQUIRED", "config.x.secret_access_key REQUIRED"}},
		"empty required":           {"x", s3(object{"access_key_id": ""}), []string{"config.x.access_key_id REQUIRED"}},
		"wrong type, not missing":  {"x", s3(object{"access_key_id": []any{"TOPSECRET"}}), []string{"config.x.access_key_id WRONG_TYPE"}},
		"object as a value":        {"x", s3(object{"region": object{"TOPSECRET": 1.0}}), []string{"config.x.region WRONG_TYPE"}},
		"NUL":                      {"x", s3(object{"region": "TOPSECRET\x00"}), []string{"config.x.region INVALID_TEXT"}},
		"no boolean":               {"x", s3(object{"force_path_style": "TOPSECRET"}), []string{"config.x.force_path_style INVALID_VALUE"}},
		"endpoint with a user":     {"x", s3(object{"endpoint": "https://TOPSECRET:x@h"}), []string{"config.x.endpoint INVALID_VALUE"}},
		"endpoint with a query":    {"x", s3(object{"endpoint": "https://h/?TOPSECRET"}), []string{"config.x.endpoint INVALID_VALUE"}},
		"file as an endpoint":      {"x", s3(object{"endpoint": "file:///TOPSECRET"}), []string{"config.x.endpoint INVALID_VALUE"}},
		"host with a port":         {"x", sftp(object{"host": "h:22"}), []string{"config.x.host INVALID_VALUE"}},
		"host with an option":      {"x", sftp(object{"host": "-oProxyCommand=TOPSECRET"}), []string{"config.x.host INVALID_VALUE"}},
		"port out of range":        {"x", sftp(object{"port": 70000.0}), []string{"config.x.port INVALID_VALUE"}},
		"neither password nor key": {"x", object{"type": "sftp", "host": "h", "user": "u"}, []string{"config.x.pass REQUIRED"}},
		"drive without a client":   {"x", object{"type": "drive", "token": tokenText}, []string{"config.x.client_id REQUIRED", "config.x.client_secret REQUIRED"}},
		"token that is no JSON":    {"x", object{"type": "drive", "client_id": "c", "client_secret": "s", "token": "TOPSECRET"}, []string{"config.x.token INVALID_VALUE"}},
		"token without a token":    {"x", object{"type": "drive", "client_id": "c", "client_secret": "s", "token": "{}"}, []string{"config.x.token INVALID_VALUE"}},
		"acc elsewhere with the server's app": {"x", object{"type": "acc", "hub_id": "h", "project_id": "p", "token": tokenText, "endpoint": "https://h"},
			[]string{"config.x.client_id REQUIRED", "config.x.client_secret REQUIRED"}},
		"acc without a token":     {"x", object{"type": "acc", "hub_id": "h", "project_id": "p"}, []string{"config.x.token REQUIRED"}},
		"same option twice":       {"x", object{"type": "dropbox", "app_key": "a", "client_id": "b", "app_secret": "s", "token": tokenText}, []string{"config.x.client_id INVALID_VALUE"}},
		"azure without a secret":  {"x", object{"type": "azureblob", "account": "store"}, []string{"config.x.key REQUIRED"}},
		"azure with two secrets":  {"x", object{"type": "azureblob", "account": "store", "key": "TOPSECRET", "sas_url": "https://h/c?sig=TOPSECRET"}, []string{"config.x.sas_url INVALID_VALUE"}},
		"azure key alone":         {"x", object{"type": "azureblob", "key": "TOPSECRET"}, []string{"config.x.account REQUIRED"}},
		"azure account as a host": {"x", object{"type": "azureblob", "account": "evil.com/", "key": "TOPSECRET"}, []string{"config.x.account INVALID_VALUE"}},
		"azure unsigned":          {"x", object{"type": "azureblob", "sas_url": "https://h/TOPSECRET"}, []string{"config.x.sas_url INVALID_VALUE"}},
		"gcs without a key":       {"x", object{"type": "gcs"}, []string{"config.x.service_account_credentials REQUIRED"}},
		"gcs by a command":        {"x", object{"type": "gcs", "service_account_credentials": object{"type": "external_account", "private_key": "TOPSECRET"}}, []string{"config.x.service_account_credentials INVALID_VALUE"}},
		"gcs by a file's token":   {"x", object{"type": "gcs", "service_account_credentials": object{"type": "service_account", "client_email": "e", "private_key": "TOPSECRET", "token_uri": "file:///etc"}}, []string{"config.x.service_account_credentials INVALID_VALUE"}},
		"too large":               {"x", s3(object{"region": strings.Repeat("x", maxConfig)}), []string{"config.x TOO_LARGE"}},
		"webdav of a host's own":  {"x", object{"type": "webdav", "url": "https://h/", "vendor": "sharepoint-ntlm"}, []string{"config.x.vendor INVALID_VALUE"}},
		"webdav through a socket": {"x", object{"type": "webdav", "url": "https://h/", "unix_socket": "/TOPSECRET"}, []string{"config.x.unix_socket OPTION_NOT_ALLOWED"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := ParseConfig(test.name, test.raw)
			var invalid *job.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an InvalidError", err)
			}
			var got []string
			for _, v := range invalid.Violations {
				got = append(got, v.Field+" "+v.Reason)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), "TOPSECRET") {
				t.Errorf("the error repeats a value: %v", err)
			}
		})
	}
}

// Every key that can be stored must mean something to the library, and no
// dangerous one may be stored.
func TestKeysAreTheLibrarysOptions(t *testing.T) {
	t.Parallel()
	for typ, k := range kinds {
		for name := range k.keys {
			if isDangerous(name) {
				t.Errorf("%s: %s is dangerous", typ, name)
			}
			if k.backend == "" || k.keys[name].ours {
				continue
			}
			info, err := fs.Find(k.backend)
			if err != nil {
				t.Fatal(err)
			}
			if option := k.keys[name].optionName(name); info.Options.Get(option) == nil {
				t.Errorf("%s: the library has no option %s", typ, option)
			} else if o := info.Options.Get(option); o.IsPassword && !k.keys[name].secret {
				t.Errorf("%s: %s is a password but not marked as a secret", typ, name)
			}
		}
		for name := range k.fixed {
			if _, both := k.keys[name]; both {
				t.Errorf("%s: %s is fixed and can be stored", typ, name)
			}
		}
	}
}

func TestIsSecret(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typ, key string
		want     bool
	}{{"s3", "secret_access_key", true}, {"s3", "region", false}, {"s3", "whatever", true}, {"drive", "token", true}} {
		if got := IsSecret(test.typ, test.key); got != test.want {
			t.Errorf("IsSecret(%s, %s) = %v", test.typ, test.key, got)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("x", `{"type":"s3","access_key_id":"a","secret_access_key":"b"}`)
	f.Add("x", `{"type":"drive","token":{"access_token":"a"}}`)
	f.Add("a.b", `{"type":"sftp","host":"[::1]","pass":""}`)
	f.Fuzz(func(t *testing.T, name, text string) {
		var raw map[string]any
		if json.Unmarshal([]byte(text), &raw) != nil {
			return
		}
		typ, options, err := ParseConfig(name, raw)
		if err != nil {
			var invalid *job.InvalidError
			if !errors.As(err, &invalid) || len(invalid.Violations) == 0 {
				t.Fatalf("%v is no InvalidError", err)
			}
			return
		}
		for key := range options {
			if _, ok := kinds[typ].keys[key]; !ok {
				t.Errorf("%s accepted with key %q", typ, key)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for value, want := range map[any]string{20.0: "20", 0.0: "0", "30%": "30%", "100%": "100%", "0%": "0%",
		-1.0: "", 1.5: "", "101%": "", "x": "", "30": "", true: "", nil: "", " 3%": ""} {
		limit, err := ParseDeleteLimit(value)
		if got := limit.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("ParseDeleteLimit(%v) = %s, %v; want %q", value, got, err, want)
		}
	}
	for value, want := range map[any]int64{"1M": 1 << 20, "512K": 512 << 10, "1G": 1 << 30, "999999999B": 999999999, 1048576.0: 1 << 20,
		"1K": 0, "1m": 0, "M": 0, 10.0: 0, true: 0, "1.5M": 0, "-1M": 0} {
		if got, err := ParseBandwidth(value); (err == nil) != (want != 0) || got != want {
			t.Errorf("ParseBandwidth(%v) = %d, %v; want %d", value, got, err, want)
		}
	}
}
