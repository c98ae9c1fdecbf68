package remote

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// accounts are, by type, the options that tell two accounts apart: those that
// say where files lie, and no secret that somebody could guess.
var accounts = map[string][]string{
	typeACC:  {"project_id"},
	"s3":     {"endpoint"},
	"webdav": {"url", "user"},
	"sftp":   {"host", "port", "user"},
	typeGCS:  {"endpoint"}, // a bucket's name is unique in the world
}

// wholes are options that name a part of a service by itself: whoever has the
// same value sees the same files.
var wholes = map[string][]string{
	"drive":   {"root_folder_id", "team_drive"},
	"dropbox": {"root_namespace"},
}

// Facts tells what of a configuration may be read while its options are sealed:
// its account, so that two configurations of one are seen to be, and when its
// credentials end. A token that is stored now counts as issued now.
//
// The account is a hash. Where it is made of a token it is that of the token as
// it was stored first, so that renewing changes nothing; two tokens of one user
// look like two accounts.
func Facts(typ string, options map[string]string, now time.Time) (account string, expiry job.Expiry) {
	return accountOf(typ, options), expiryOf(typ, options, now)
}

func accountOf(typ string, options map[string]string) string {
	if typ == typeLocal {
		return "server:local" // the one account that all instances share
	}
	id := map[string]string{"type": typ}
	if typ == typeAzure {
		id["place"] = azurePlace(options)
		return hashOf(id)
	}
	add := func(name string) {
		if value := canonical(typ, name, options[name]); value != "" {
			id[name] = value
		}
	}
	if names, ok := accounts[typ]; ok {
		for _, name := range names {
			add(name)
		}
		return hashOf(id)
	}
	for _, name := range wholes[typ] {
		add(name)
	}
	if len(id) > 1 {
		return hashOf(id)
	}
	if _, ok := grants[typ]; ok {
		token := tokenOf(options)
		id["token"] = token.RefreshToken
		if token.RefreshToken == "" {
			id["token"] = token.AccessToken
		}
		return hashOf(id)
	}
	for name := range options {
		if !IsSecret(typ, name) {
			add(name)
		}
	}
	return hashOf(id)
}

// canonical writes a value in one way that people write in several.
func canonical(typ, name, value string) string {
	switch {
	case (typ == "s3" || typ == typeGCS) && name == "endpoint", name == "url":
		if !strings.Contains(value, "://") {
			value = "https://" + value
		}
		u, err := url.Parse(value)
		if err != nil || u.Host == "" {
			return ""
		}
		return strings.ToLower(u.Host) + strings.TrimSuffix(u.Path, "/")
	case name == "host":
		return strings.ToLower(value)
	case name == "port" && value == "":
		return "22"
	}
	return value
}

func hashOf(id map[string]string) string {
	text, _ := json.Marshal(id) // texts only: it can't fail, and keys are in order
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

func expiryOf(typ string, options map[string]string, now time.Time) (e job.Expiry) {
	if typ == typeAzure {
		e.Credentials = job.Time(azureExpiry(options))
		return e
	}
	g, ok := grants[typ]
	if !ok {
		return e
	}
	token := tokenOf(options)
	e.Token = job.Time(token.Expiry)
	switch {
	case token.RefreshToken == "":
		e.Credentials = e.Token
	case g.lasts > 0:
		e.Credentials = job.Time(now.Add(g.lasts))
	}
	return e
}
