package remote

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The library makes regular expressions of patterns, and of an include one more
// for every folder above. A short text can say a long one: {{a{1000}a{1000}}}. A
// step is about an instruction of theirs: 50 bytes, and half a microsecond to
// make.
const (
	// maxRepeated bounds the steps that the patterns of one list take beyond
	// their own length.
	maxRepeated = 10_000
	// maxSteps bounds all steps of a sync's filter.
	maxSteps = 500_000
	// maxBracketed bounds those of a list's includes with brackets.
	maxBracketed = 50_000
	// maxWildcards bounds the wildcards of a list, each times the length of its
	// pattern: with all that fit into the other bounds one name took 17 seconds.
	maxWildcards = 5_000_000
	// classSteps is what a class of Unicode such as \pL takes.
	classSteps = 100
)

// counted is a repetition with a count, or two alternatives that look like one.
var counted = regexp.MustCompile(`\{([0-9]{1,4})(?:,([0-9]{0,4}))?\}`)

// repeated is at least the number of steps that a pattern takes beyond its length:
// whatever stands before a count may be what it repeats.
func repeated(pattern string) int {
	steps, at := 0, 0
	for _, m := range counted.FindAllStringSubmatchIndex(pattern, -1) {
		steps += m[0] - at
		at = m[1]
		count := atoi(pattern, m[2], m[3])
		if m[4] >= 0 {
			count = max(count, atoi(pattern, m[4], m[5]))
		}
		switch {
		case count > 1000: // the library refuses it as a repetition
		case m[0] > 0 && strings.ContainsRune(")}", rune(pattern[m[0]-1])):
			steps *= max(count, 1)
		default:
			steps += count
		}
		steps = min(steps, maxSteps)
	}
	steps += len(pattern) - at
	classes := strings.Count(pattern, `\p`) + strings.Count(pattern, `\P`)
	return max(steps-len(pattern), 0) + classes*classSteps
}

func atoi(text string, from, to int) int {
	n, _ := strconv.Atoi(text[from:to]) // four digits at most, or none
	return n
}

// CheckFilters refuses a list of patterns, each of which CheckFilter allows, that
// would take too much together.
func CheckFilters(patterns []string) error {
	sum, wildcards := 0, 0
	for _, pattern := range patterns {
		if sum += repeated(pattern); sum > maxRepeated {
			return errors.New("repeat too much together: use smaller counts, and fewer classes such as \\pL")
		}
		for _, c := range pattern {
			if strings.ContainsRune("*?+{|", c) {
				wildcards += len(pattern)
			}
		}
		if wildcards > maxWildcards {
			return errors.New("have too many wildcards together, or too long patterns with them")
		}
	}
	return nil
}

// checkSteps bounds what a filter takes while a sync runs.
func checkSteps(include, exclude []string) error {
	sum := 0
	for _, pattern := range exclude {
		sum += len(pattern) + repeated(pattern)
	}
	for _, pattern := range include {
		sum += includeSteps(pattern)
	}
	if sum > maxSteps {
		return fmt.Errorf("the patterns are too many, too long or too deep: they take %d steps, and %d are allowed", sum, maxSteps)
	}
	return nil
}

// CheckIncludes finds the first include that the library can't look for folders
// by: it splits patterns at slashes, in brackets too. Only those with brackets are
// tried, since trying takes as long as using them.
func CheckIncludes(patterns []string) (at int, err error) {
	sum := 0
	for i, pattern := range patterns {
		if !strings.Contains(pattern, "[") {
			continue
		}
		if sum += includeSteps(pattern); sum > maxBracketed {
			return i, errors.New("the includes with brackets are too many or too deep")
		}
		if _, err := newFilter([]string{pattern}, nil); err != nil {
			return i, errors.New("has a slash or two stars in brackets")
		}
	}
	return 0, nil
}

// includeSteps is what an include takes with the folders above it.
func includeSteps(pattern string) int {
	return (len(pattern) + repeated(pattern)) * (1 + strings.Count(pattern, "/") + strings.Count(pattern, "**"))
}
