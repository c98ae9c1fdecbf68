package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

func TestParseScopes(t *testing.T) {
	t.Parallel()
	cases := []struct{ text, want string }{
		{"", ""},
		{"  ", ""},
		{"operator", "operator"},
		{"instance-*", "instance-*"},
		{"instance-create", "instance-create"},
		{"instance-write-42", "instance-write-42"},
		{"instance-read-inst_42", "instance-read-42"},
		{"resource-write-res_7", "resource-write-7"},
		{"resource-read-9007199254740991", "resource-read-9007199254740991"},
		{"instance-read-5 instance-write-5", "instance-write-5"},
		{"instance-write-5 instance-read-inst_5", "instance-write-5"},
		{"instance-read-1 resource-read-1", "instance-read-1 resource-read-1"},
		{"operator  operator", "operator"},
		{
			"resource-read-2 operator instance-write-10 instance-read-9 instance-create instance-*",
			"instance-* instance-create operator instance-read-9 instance-write-10 resource-read-2",
		},
	}
	for _, c := range cases {
		s, err := auth.ParseScopes(c.text)
		if err != nil {
			t.Errorf("ParseScopes(%q): %v", c.text, err)
			continue
		}
		if s.String() != c.want {
			t.Errorf("ParseScopes(%q) = %q, want %q", c.text, s, c.want)
		}
		if again, err := auth.ParseScopes(s.String()); err != nil || again.String() != s.String() {
			t.Errorf("the canonical form %q reads as %q, %v", s, again, err)
		}
	}
}

var unknownScopes = []string{
	"Operator", "operators", "operator*", "*", "instance", "instance-", "instance-read", "instance-read-", "instance-read-*",
	"instance-write-*", "instance-write-0", "instance-write--1", "instance-write-+1", "instance-write-01", "instance-write-1.0",
	"instance-write-9007199254740992", "instance-write-99999999999999999999", "instance-write-res_7", "resource-read-inst_7",
	"instance-write-inst_", "instance-write-inst_inst_7", "instance-write-1x", "instance-admin-1", "instance-read-1,instance-read-2",
	"resource-*", "resource-create", "job-read-1", "instance-create-1", "operator\tinstance-create", "operator\n", "instance-write-٣",
	"\x00", `"operator"`, strings.Repeat("a", 101),
}

func TestUnknownScopes(t *testing.T) {
	t.Parallel()
	for _, text := range unknownScopes {
		for _, around := range []string{text, "operator " + text, text + " operator"} {
			if s, err := auth.ParseScopes(around); err == nil || s.String() != "" {
				t.Errorf("ParseScopes(%q) = %q, %v; want nothing and an error", around, s, err)
			}
		}
	}
	if _, err := auth.ParseScopes(strings.Repeat("operator ", 2000)); err == nil {
		t.Error("18,000 bytes were accepted")
	}
}

func TestParseScopeList(t *testing.T) {
	t.Parallel()
	s, err := auth.ParseScopeList("scopes", []string{"instance-read-inst_5", "operator"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"operator", "instance-read-5"}, s.List()); diff != "" {
		t.Error(diff)
	}
	_, err = auth.ParseScopeList("scopes", []string{"operator", "instance-read-x", "", "operator instance-create"})
	var invalid *job.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v, want a *job.InvalidError", err)
	}
	var paths []string
	for _, v := range invalid.Violations {
		paths = append(paths, v.Field)
	}
	if diff := cmp.Diff([]string{"scopes[1]", "scopes[2]", "scopes[3]"}, paths); diff != "" {
		t.Error(diff)
	}
	if empty := (auth.Scopes{}); empty.String() != "" || len(empty.List()) != 0 || empty.Operator() {
		t.Errorf("the zero value is %q", empty)
	}
}

func FuzzParseScopes(f *testing.F) {
	f.Add("operator instance-* instance-write-inst_42 resource-read-7")
	for _, text := range unknownScopes {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := auth.ParseScopes(text)
		if err != nil {
			if s.String() != "" {
				t.Fatalf("%q: an error and yet %q", text, s)
			}
			return
		}
		canonical := s.String()
		if again, err := auth.ParseScopes(canonical); err != nil || again.String() != canonical {
			t.Fatalf("%q: canonical %q reads as %q, %v", text, canonical, again, err)
		}
		if list, err := auth.ParseScopeList("scopes", s.List()); err != nil || list.String() != canonical {
			t.Fatalf("%q: the list reads as %q, %v", text, list, err)
		}
		given := strings.NewReplacer("inst_", "", "res_", "").Replace(text)
		for _, scope := range s.List() {
			if !strings.Contains(" "+given+" ", " "+scope+" ") {
				t.Fatalf("%q: %q was never given", text, scope)
			}
		}
	})
}
