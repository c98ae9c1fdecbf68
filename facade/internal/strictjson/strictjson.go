// Package strictjson checks the raw text of a JSON document before anything
// decodes it.
//
// Decoders settle ambiguous input silently and each in its own way: the last
// of two equal keys wins, broken UTF-8 becomes U+FFFD, a large integer loses
// its last digits. After that no one can tell what was meant, so such a
// document is refused here, with the path of the field.
//
// Rules:
//   - What [Check] accepts, encoding/json and protojson accept too, and both
//     read the same from it.
//   - An error holds the path (keys and positions), never a part of a value.
//   - Pure and bounded: time and memory grow with the text, recursion is
//     limited by the allowed depth.
//
// It is written by hand because encoding/json has no strict mode and
// encoding/json/v2 is still behind an experiment flag.
package strictjson

// The reasons of an [Error].
const (
	ReasonMalformed    = "MALFORMED_JSON"
	ReasonDuplicateKey = "DUPLICATE_KEY"
	ReasonInvalidText  = "INVALID_TEXT"
	ReasonNumberRange  = "NUMBER_RANGE"
	ReasonTooDeep      = "TOO_DEEP"
)

// DefaultMaxDepth lets a workflow of the allowed 100 levels pass inside any
// request that holds one; the exact limit is the service's.
const DefaultMaxDepth = 100 + 16

// Error refuses a document.
type Error struct {
	// Path is the field's: workflow.tasks[0].args.n. It is empty for the
	// document itself.
	Path string
	// Reason is one of the constants of this package.
	Reason string
	// Message is for people.
	Message string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Check refuses raw, with an *Error, unless it is one JSON value with
// well-formed text, no key twice in an object, integers within ±(2^53-1),
// numbers within the range of a double, and objects and lists nested at most
// maxDepth deep. It tells of the first fault.
func Check(raw []byte, maxDepth int) error {
	s := scanner{raw: raw, maxDepth: maxDepth}
	s.space()
	if s.pos == len(raw) {
		return s.fail(ReasonMalformed, "the document is empty")
	}
	if err := s.value(); err != nil {
		return err
	}
	s.space()
	if s.pos < len(raw) {
		return s.unexpected("the end of the document")
	}
	return nil
}
