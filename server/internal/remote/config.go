package remote

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// Reasons that a configuration is refused with.
const (
	ReasonBadRemoteName    = "BAD_REMOTE_NAME"
	ReasonUnknownType      = "UNKNOWN_REMOTE_TYPE"
	ReasonUnknownOption    = "UNKNOWN_OPTION"
	ReasonOptionNotAllowed = "OPTION_NOT_ALLOWED"
	ReasonTooLarge         = "TOO_LARGE"
	ReasonInvalidText      = "INVALID_TEXT"
)

// maxConfig bounds one remote's configuration, keys and values, in bytes.
const maxConfig = 64 << 10

var nameRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ParseConfig checks a configuration that is to be stored under name and returns
// its type and its other keys as strings, under the names that the caller gave.
// Numbers and booleans become their JSON text, a token that is an object
// becomes its JSON text. Null keys are left out. What can't be stored is a
// *job.InvalidError whose paths start with config and whose text never holds a
// value.
func ParseConfig(name string, raw map[string]any) (typ string, options map[string]string, err error) {
	base := job.JoinPath("config", task.Field(name))
	if !nameRE.MatchString(name) {
		return "", nil, job.Invalid(base, ReasonBadRemoteName,
			"a remote's name has 1 to 64 letters, digits, underscores and hyphens")
	}
	typ, _ = raw["type"].(string)
	k, ok := kinds[typ]
	if !ok {
		return "", nil, job.Invalid(base+".type", ReasonUnknownType, "must be one of %s", strings.Join(Types(), ", "))
	}
	errs := &job.InvalidError{}
	options = make(map[string]string, len(raw))
	size := 0
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if key == "type" || raw[key] == nil {
			continue
		}
		text, bad := k.parse(typ, key, raw[key])
		if bad.Reason != "" {
			errs.Add(job.JoinPath(base, task.Field(key)), bad.Reason, "%s", bad.Description)
			continue
		}
		size += len(key) + len(text)
		options[key] = text
	}
	k.checkPresence(base, raw, options, errs)
	if size > maxConfig {
		errs.Add(base, ReasonTooLarge, "all keys and values together have more than %d bytes", maxConfig)
	}
	if err := errs.Err(); err != nil {
		return "", nil, err
	}
	return typ, options, nil
}

// parse returns one value as text, or what is wrong with it.
func (k kind) parse(typ, name string, value any) (string, job.Violation) {
	key, known := k.keys[name]
	switch {
	case !known && isDangerous(name):
		return "", job.Violation{Reason: ReasonOptionNotAllowed,
			Description: "not offered: it would run a command, read a file or use the identity of the server"}
	case !known && len(k.keys) == 0:
		return "", job.Violation{Reason: ReasonUnknownOption, Description: "type " + typ + " has no options"}
	case !known:
		return "", job.Violation{Reason: ReasonUnknownOption,
			Description: "type " + typ + " has no such option; known are " + strings.Join(Keys(typ), ", ")}
	}
	text, ok := textOf(name, value)
	if !ok {
		return "", job.Violation{Reason: task.ReasonWrongType, Description: "must be a string, a number or a boolean"}
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", job.Violation{Reason: ReasonInvalidText, Description: "must be text without NUL"}
	}
	if err := key.refuse(text); err != nil {
		return "", job.Violation{Reason: task.ReasonInvalidValue, Description: err.Error()}
	}
	return text, job.Violation{}
}

// textOf returns a decoded JSON value as text. Only what a service gives as JSON
// may be an object.
func textOf(name string, value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case map[string]any:
		if name == "token" || name == "service_account_credentials" {
			text, err := json.Marshal(v)
			return string(text), err == nil
		}
	}
	return "", false
}

// refuse says what is wrong with a value, without repeating it.
func (k key) refuse(text string) error {
	switch {
	case text == "" && !k.required:
		return nil
	case len(k.values) > 0 && !slices.Contains(k.values, text):
		return errors.New("must be one of " + strings.Join(k.values, ", "))
	case k.check != nil && text != "":
		return k.check(text)
	}
	return nil
}

func (k kind) checkPresence(base string, raw map[string]any, options map[string]string, errs *job.InvalidError) {
	set := func(name string) bool { return options[name] != "" }
	// A value that was refused is not missing as well.
	missing := func(name string) bool {
		_, given := options[name]
		return !set(name) && (given || raw[name] == nil)
	}
	for _, name := range slices.Sorted(maps.Keys(k.keys)) {
		if k.keys[name].required && missing(name) {
			errs.Add(base+"."+name, task.ReasonRequired, "is required")
		}
	}
	for _, group := range k.together {
		if !slices.ContainsFunc(group, func(name string) bool { return raw[name] != nil && raw[name] != "" }) {
			errs.Add(base+"."+group[0], task.ReasonRequired, "one of %s is required", strings.Join(group, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.besides)) {
		for _, other := range k.besides[name] {
			if set(name) && missing(other) {
				errs.Add(base+"."+other, task.ReasonRequired, "is required besides %s", name)
			}
		}
	}
	for _, pair := range k.apart {
		if set(pair[0]) && set(pair[1]) {
			errs.Add(base+"."+pair[1], task.ReasonInvalidValue, "%s is there already: give one of them", pair[0])
		}
	}
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		option := k.keys[name].optionName(name)
		if other, twice := taken[option]; twice && set(name) && set(other) {
			errs.Add(base+"."+name, task.ReasonInvalidValue, "%s and %s are the same thing: give one of them", other, name)
		}
		taken[option] = name
	}
}

func checkBool(text string) error {
	if text != "true" && text != "false" {
		return errors.New("must be true or false")
	}
	return nil
}

func checkTime(text string) error {
	if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
		return errors.New("must be an RFC 3339 time")
	}
	return nil
}

// checkToken wants what an OAuth server answered.
func checkToken(text string) error {
	var token struct {
		AccessToken  string    `json:"access_token"`
		RefreshToken string    `json:"refresh_token"`
		Expiry       time.Time `json:"expiry"`
	}
	if err := json.Unmarshal([]byte(text), &token); err != nil {
		return errors.New("must be the JSON object that the OAuth server answered: access_token, refresh_token, expiry")
	}
	if token.AccessToken == "" {
		return errors.New("has no access_token")
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must be an http or https URL")
	case u.User != nil:
		return errors.New("must not hold a user or password; use the keys for them")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("must have neither query nor fragment")
	}
	return nil
}

// checkEndpoint allows a bare host too, which the library takes as https.
func checkEndpoint(text string) error {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	return checkURL(text)
}

var hostRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

func checkHost(text string) error {
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil || hostRE.MatchString(text) {
		return nil
	}
	return errors.New("must be a host name or an IP address")
}

func checkPort(text string) error {
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 65535 {
		return errors.New("must be a port from 1 to 65535")
	}
	return nil
}
