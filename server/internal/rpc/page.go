package rpc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"

	"google.golang.org/protobuf/proto"

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

// maxAnswer bounds a page in bytes: clients of gRPC take 4 MiB unless they are
// told otherwise.
const maxAnswer = 3 << 20

// rows is how a list reads its rows and answers them.
type rows[T any, M proto.Message] struct {
	read    func(store.Page) ([]T, error)
	id      func(T) int64
	message func(T) (M, error)
}

// list answers one page and the token of the next one, empty on the last page.
// A page may be shorter than was asked for.
func list[T any, M proto.Message](q query, size int32, token string, r rows[T, M]) (page []M, next string, err error) {
	var at position
	if token != "" {
		if err := q.parse(token, &at); err != nil {
			return nil, "", err
		}
	}
	limit := pageSize(size)
	// One row more than asked for tells whether there is a next page.
	found, err := r.read(store.Page{Before: at.Before, Limit: limit + 1})
	if err != nil {
		return nil, "", err
	}
	bytes := 0
	for _, row := range found {
		message, err := r.message(row)
		if err != nil {
			return nil, "", err
		}
		bytes += proto.Size(message)
		if len(page) == limit || bytes > maxAnswer && len(page) > 0 {
			next, err = q.token(at)
			return page, next, err
		}
		page = append(page, message)
		at.Before = r.id(row)
	}
	return page, "", nil
}

// listNamed is list for what is in memory, in the order of its names.
func listNamed[T any, M interface{ GetName() string }](q query, size int32, token string, all []T, message func(T) (M, error)) (page []M, next string, err error) {
	after := ""
	if token != "" {
		if err := q.parse(token, &after); err != nil {
			return nil, "", err
		}
	}
	limit := pageSize(size)
	for _, one := range all {
		m, err := message(one)
		switch {
		case err != nil:
			return nil, "", err
		case m.GetName() <= after:
			continue
		case len(page) == limit:
			next, err = q.token(page[limit-1].GetName())
			return page, next, err
		}
		page = append(page, m)
	}
	return page, "", nil
}

// always makes a mapping that can't fail one that could.
func always[T, M any](one func(T) M) func(T) (M, error) {
	return func(row T) (M, error) { return one(row), nil }
}
