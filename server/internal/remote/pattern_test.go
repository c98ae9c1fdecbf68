package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
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

// Patterns may take a second for each name, but no longer than somebody waits.
func TestSlowPatternsEndWithTheirSession(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	many := files{}
	deep := "src/" + strings.Repeat(strings.Repeat("a", 240)+"/", 14)
	for i := range 1000 {
		many[fmt.Sprintf("%s%04d", deep, i)] = ""
	}
	many.write(t, b.root)
	exclude := make([]string, 20)
	for i := range exclude {
		exclude[i] = strings.Repeat("**a", 330) + fmt.Sprint(i, "x")
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := b.session(ctx, t)
	request := Request{Source: mustOpen(t, s, local("a"), "/src"), Dest: mustOpen(t, s, local("b"), "/dst"), Mode: Copy, Exclude: exclude}
	cancelled := make(chan struct{})
	time.AfterFunc(200*time.Millisecond, func() { cancel(); close(cancelled) })
	_, err := s.Sync(request)
	<-cancelled
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { s.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("names are still compared with patterns a minute after the end")
	}
}
