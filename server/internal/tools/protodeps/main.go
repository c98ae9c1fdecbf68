// Command protodeps writes the proto files that proto/carillon/v1 imports from
// other projects into a folder, so that buf resolves them without a registry.
//
// It prints the descriptors of the Go packages that go.mod pins, so the text
// always agrees with the code that the generated files link against. buf
// brings google/protobuf/* itself.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/reflect/protoreflect"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/status"
)

// roots are the files that our protos may import; what they import comes along.
var roots = []protoreflect.FileDescriptor{
	annotations.File_google_api_annotations_proto,
	annotations.File_google_api_field_behavior_proto,
	annotations.File_google_api_resource_proto,
	status.File_google_rpc_status_proto,
	validate.File_buf_validate_validate_proto,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: protodeps FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "protodeps:", err)
		os.Exit(1)
	}
}

// write replaces folder with the text of the roots and of all they import.
func write(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("empty %s: %w", folder, err)
	}
	var printer protoprint.Printer
	if err := printer.PrintProtosToFileSystem(closure(roots), folder); err != nil {
		return fmt.Errorf("write protos to %s: %w", folder, err)
	}
	return nil
}

// closure returns files and everything they import, each once.
func closure(files []protoreflect.FileDescriptor) []protoreflect.FileDescriptor {
	var all []protoreflect.FileDescriptor
	seen := map[string]bool{}
	for queue := files; len(queue) > 0; queue = queue[1:] {
		file := queue[0]
		if seen[file.Path()] || strings.HasPrefix(file.Path(), "google/protobuf/") {
			continue
		}
		seen[file.Path()] = true
		all = append(all, file)
		for i := range file.Imports().Len() {
			queue = append(queue, file.Imports().Get(i).FileDescriptor)
		}
	}
	return all
}
