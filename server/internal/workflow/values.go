package workflow

import (
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// exponentFrom is the number from which JSON writers print an exponent
// instead of all digits. A double below it that is beyond ±(2^53-1) stands
// for an integer that may have lost its last digits on the way.
const exponentFrom = 1e21

// checkValues refuses text, numbers and nesting that can't be kept faithfully.
func checkValues(doc map[string]any) error {
	// Nearly every document is sound, so paths are built only when one is not.
	if objectSound(doc, 1) {
		return nil
	}
	var p parser
	p.values(root, doc, 1)
	return p.errs.Err()
}

func sound(v any, depth int) bool {
	switch v := v.(type) {
	case string:
		return textFault(v) == ""
	case float64:
		return numberFault(v) == ""
	case []any:
		if depth > MaxDepth {
			return false
		}
		for _, element := range v {
			if !sound(element, depth+1) {
				return false
			}
		}
		return true
	case map[string]any:
		return objectSound(v, depth)
	}
	return v == nil || v == true || v == false
}

func objectSound(object map[string]any, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	for key, value := range object {
		if textFault(key) != "" || !sound(value, depth+1) {
			return false
		}
	}
	return true
}

// values refuses what sound finds wrong, with paths.
func (p *parser) values(path string, v any, depth int) {
	switch v := v.(type) {
	case nil, bool:
	case string:
		if fault := textFault(v); fault != "" {
			p.refuse(path, ReasonInvalidText, "%s", fault)
		}
	case float64:
		if fault := numberFault(v); fault != "" {
			p.refuse(path, ReasonNumberRange, "%s", fault)
		}
	case []any:
		if p.shallow(path, depth) {
			for i, element := range v {
				if p.full() {
					return
				}
				p.values(task.Index(path, i), element, depth+1)
			}
		}
	case map[string]any:
		if p.shallow(path, depth) {
			p.objectValues(path, v, depth)
		}
	default:
		p.refuse(path, task.ReasonWrongType, "is not a JSON value")
	}
}

func (p *parser) objectValues(path string, object map[string]any, depth int) {
	for _, key := range sortedKeys(object) {
		if p.full() {
			return
		}
		below := job.JoinPath(path, task.Field(key))
		if fault := textFault(key); fault != "" {
			p.refuse(below, ReasonInvalidText, "the key %s", fault)
		}
		p.values(below, object[key], depth+1)
	}
}

func (p *parser) shallow(path string, depth int) bool {
	if depth > MaxDepth {
		p.refuse(path, ReasonTooDeep, "is nested deeper than %d levels", MaxDepth)
		return false
	}
	return true
}

func textFault(s string) string {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return "must not hold a NUL character"
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	}
	return ""
}

func numberFault(f float64) string {
	switch size := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "must be a finite number"
	case size > job.MaxID && size < exponentFrom:
		return "must be within ±9007199254740991; write larger numbers as text"
	}
	return ""
}

func sortedKeys(object map[string]any) []string {
	return slices.Sorted(maps.Keys(object))
}
