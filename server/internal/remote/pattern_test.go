package remote

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// A short pattern that makes a long expression would take the memory of the
// process. Each of these made megabytes of a kilobyte, or minutes of a thousand.
func TestPatternsThatTakeTooMuch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pattern          string
		times            int
		refused, include bool
	}{
		"counts":                      {"{{" + strings.Repeat("a{1000}", 145) + "}}", 1, true, false},
		"counts in many":              {"{{a{1000}}}", 20, true, false},
		"counts of groups":            {"{{(" + strings.Repeat("a", 300) + "){999}}}", 1, true, false},
		"nested counts":               {"{{((a{10}b{10}){10}){10}}}", 100, true, false},
		"ranges of counts":            {"{{" + strings.Repeat("a{0,1000}", 100) + "}}", 1, true, false},
		"counts without an end":       {"{{" + strings.Repeat("a{1000,}", 100) + "}}", 1, true, false},
		"counts that braces hide":     {"[[]" + strings.Repeat("a{1000}", 100) + "]", 1, true, false},
		"classes":                     {"{{" + strings.Repeat(`\pL`, 300) + "}}", 1, true, false},
		"folders":                     {strings.Repeat("a/", 511) + "a", 2, true, true},
		"many":                        {strings.Repeat("a", 1000), 501, true, false},
		"folders of an exclude":       {strings.Repeat("a/", 511) + "a", 400, false, false},
		"stars":                       {strings.Repeat("*a", 500), 20, true, false},
		"stars and marks":             {strings.Repeat("*?", 500), 20, true, false},
		"folders and stars":           {strings.Repeat("a**", 330), 20, true, false},
		"one with many stars":         {strings.Repeat("*a", 500), 1, false, false},
		"many with few stars":         {"/projects/*/exports/**/*-draft-*.{dwg,ifc,rvt}", 1000, false, false},
		"a UUID":                      {"/{{[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}}}/**", 50, false, false},
		"dates":                       {`{{20\d{2}-\d{2}-\d{2}}}.log`, 200, false, true},
		"groups":                      {`{{(\d{3}-){2}[a-z]+}}`, 50, false, true},
		"alternatives that are years": {"report-{2023,2024}/**", 500, false, true},
		"letters":                     {`{{\p{Lu}\p{Ll}+}}.txt`, 10, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var include, exclude []string
			patterns := slices.Repeat([]string{c.pattern}, c.times)
			if include = patterns; !c.include {
				include, exclude = nil, patterns
			}
			_, err := newFilter(include, exclude)
			if (err != nil) != c.refused {
				t.Errorf("refused: %v, wanted %v", err, c.refused)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("the refusal repeats the pattern: %.300s", err)
			}
		})
	}
}

// What is let through stays small, whatever it says.
func FuzzPatterns(f *testing.F) {
	for _, seed := range []string{"*.txt", "/a/**", "{{.*}}", "[!a-z]", "{a,b{c,d}}", `\{{x`, "[[]a{9}]", `{{(\pL{2,3}){4}}}`, "**/a/**", "{{}}}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if len(pattern) > 1024 || CheckFilter(pattern) != nil {
			return
		}
		if _, err := CheckIncludes([]string{pattern}); err != nil {
			return
		}
		if _, err := newFilter([]string{pattern}, nil); err != nil && len(pattern)*(2+len(pattern)) < maxSteps {
			t.Errorf("%q is allowed, and can't be used: %v", pattern, err)
		}
	})
}

// Patterns may take long for each name: a folder is not gone through to its end for
// a session that has ended.
func TestListingEndsWithItsSession(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "", "b": ""}.write(t, b.root+"/src")
	fi, err := newFilter(nil, []string{"**a**b"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	folder := mustOpen(t, b.session(t.Context(), t), local("a"), "/src").fs
	if l, err := list(ctx, folder, fi, ""); err != nil || len(l.files) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	cancel()
	if _, err := list(ctx, folder, fi, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("listed to the end, %v", err)
	}
}
