package telemetry

import (
	"fmt"
	"runtime"
)

// PanicText is what may be told of a recovered panic: the text of a fault that
// the Go runtime found, of any other value its type only, since it may hold what
// the code was working on, secrets included.
func PanicText(value any) string {
	if err, ok := value.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", value)
}
