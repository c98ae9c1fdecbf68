package task

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPath bounds a path on a remote, in bytes.
const maxPath = 4096

// CheckRemotePath says what is wrong with the path of name:/path; empty when
// nothing is.
func CheckRemotePath(path string) string {
	switch {
	case len(path) > maxPath:
		return "the path is too long"
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		return "the path must be text without control characters"
	case slices.Contains(strings.Split(path, "/"), ".."):
		return `the path must not contain ".."`
	}
	return ""
}
