package rpc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// The sizes of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize is how many rows a page has.
func pageSize(asked int32) int {
	if asked <= 0 {
		return defaultPage
	}
	return min(int(asked), maxPage)
}

// query is what a page token is bound to: the method and everything that
// selects its rows. The binding is a checksum against mistakes, not a
// permission: every page is authorized like the first one.
type query []string

const bindingLen = 12

func (q query) bind(payload []byte) []byte {
	text, _ := json.Marshal(q) // texts always encode
	sum := sha256.Sum256(append(text, payload...))
	return sum[:bindingLen]
}

// token is the text form of where a list goes on.
func (q query) token(at any) (string, error) {
	payload, err := json.Marshal(at)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(q.bind(payload), payload...)), nil
}

// parse reads what token has made for the same query.
func (q query) parse(token string, at any) error {
	bad := job.Invalid("pageToken", "INVALID_PAGE_TOKEN", "is not a token of this list; leave it out to begin at the first page")
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(text) < bindingLen {
		return bad
	}
	payload := text[bindingLen:]
	if subtle.ConstantTimeCompare(text[:bindingLen], q.bind(payload)) != 1 || json.Unmarshal(payload, at) != nil {
		return bad
	}
	return nil
}

// position continues a list that is ordered by id.
type position struct {
	Before int64 `json:"b"`
}

// list answers one page of rows and the token of the next one, empty on the
// last page.
func list[T any](q query, size int32, token string, read func(store.Page) ([]T, error), id func(T) int64) (rows []T, next string, err error) {
	var at position
	if token != "" {
		if err := q.parse(token, &at); err != nil {
			return nil, "", err
		}
	}
	limit := pageSize(size)
	// One row more than asked for tells whether there is a next page.
	rows, err = read(store.Page{Before: at.Before, Limit: limit + 1})
	if err != nil || len(rows) <= limit {
		return rows, "", err
	}
	rows = rows[:limit]
	next, err = q.token(position{Before: id(rows[limit-1])})
	return rows, next, err
}
