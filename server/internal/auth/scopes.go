package auth

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pointscene/carillon/server/internal/job"
)

// Access is how much a caller may do with an object. Greater includes smaller.
type Access int

// The levels of access.
const (
	None Access = iota
	Read
	Write
)

// maxScopeText bounds what is parsed, in bytes.
const maxScopeText = 10_000

// The scopes without an identifier.
const (
	scopeOperator = "operator"
	scopeCreate   = "instance-create"
	scopeLinked   = "instance-*"
)

// idScopes are the beginnings of the scopes that end in an identifier.
var idScopes = []struct {
	prefix string
	kind   job.Kind
	access Access
}{
	{"instance-write-", job.KindInstance, Write},
	{"instance-read-", job.KindInstance, Read},
	{"resource-write-", job.KindResource, Write},
	{"resource-read-", job.KindResource, Read},
}

// Scopes is a set of scopes. The zero value allows nothing.
type Scopes struct {
	operator, create, linked bool
	// byID holds only Read and Write; it is never changed after parsing.
	byID map[object]Access
}

// object is an instance or a resource.
type object struct {
	kind job.Kind
	id   int64
}

// ParseScopes reads scopes separated by spaces. An unknown one is an error
// that quotes it.
func ParseScopes(text string) (Scopes, error) {
	if len(text) > maxScopeText {
		return Scopes{}, fmt.Errorf("the scopes are longer than %d bytes", maxScopeText)
	}
	var s Scopes
	for one := range strings.SplitSeq(text, " ") {
		if one == "" {
			continue
		}
		if err := s.add(one); err != nil {
			return Scopes{}, err
		}
	}
	return s, nil
}

// ParseScopeList reads one scope per element. Wrong elements are a
// *job.InvalidError with paths below field: scopes[1].
func ParseScopeList(field string, list []string) (Scopes, error) {
	var s Scopes
	var invalid job.InvalidError
	for i, one := range list {
		if err := s.add(one); err != nil {
			invalid.Add(job.JoinPath(field, "["+strconv.Itoa(i)+"]"), "UNKNOWN_SCOPE", "%v", err)
		}
	}
	if err := invalid.Err(); err != nil {
		return Scopes{}, err
	}
	return s, nil
}

func (s *Scopes) add(one string) error {
	switch one {
	case scopeOperator:
		s.operator = true
		return nil
	case scopeCreate:
		s.create = true
		return nil
	case scopeLinked:
		s.linked = true
		return nil
	}
	for _, form := range idScopes {
		if text, ok := strings.CutPrefix(one, form.prefix); ok {
			if id, ok := form.kind.Parse(text); ok {
				s.raise(object{form.kind, id}, form.access)
				return nil
			}
		}
	}
	if len(one) > 100 {
		return errors.New("a scope is longer than 100 bytes")
	}
	return fmt.Errorf("unknown scope %q: known are instance-*, instance-write-{id}, instance-read-{id}, "+
		"instance-create, resource-write-{id}, resource-read-{id} and operator", one)
}

func (s *Scopes) raise(o object, access Access) {
	if s.byID == nil {
		s.byID = make(map[object]Access)
	}
	s.byID[o] = max(s.byID[o], access)
}

// Operator tells whether the scopes allow everything.
func (s Scopes) Operator() bool { return s.operator }

// on is the access that the scopes give by the object's own identifier.
func (s Scopes) on(kind job.Kind, id int64) Access { return s.byID[object{kind, id}] }

// objects lists the named objects by kind and number.
func (s Scopes) objects() []object {
	return slices.SortedFunc(maps.Keys(s.byID), func(a, b object) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
	})
}

// List is the canonical form: no scope that another one includes by its name,
// bare numbers, in a fixed order.
func (s Scopes) List() []string {
	list := []string{}
	for scope, has := range map[string]bool{scopeOperator: s.operator, scopeCreate: s.create, scopeLinked: s.linked} {
		if has {
			list = append(list, scope)
		}
	}
	slices.Sort(list)
	for _, o := range s.objects() {
		list = append(list, scopeOn(o, s.byID[o]))
	}
	return list
}

func scopeOn(o object, access Access) string {
	for _, form := range idScopes {
		if form.kind == o.kind && form.access == access {
			return form.prefix + strconv.FormatInt(o.id, 10)
		}
	}
	return ""
}

// String is the canonical form, separated by spaces.
func (s Scopes) String() string { return strings.Join(s.List(), " ") }
