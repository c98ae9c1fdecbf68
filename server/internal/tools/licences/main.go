// Command licences tells under which licences the program's modules stand.
//
//	licences list     THIRD_PARTY.md: every linked module with its licences
//	licences texts    the texts of those licences, for releases
//
// It reads what go list says is linked into the program for the systems that
// releases are made for, looks for licence files in the folder of every linked
// package and above it up to the module's root, and recognises their texts. A
// module without a licence, with a text that nobody recognises, or with a licence
// outside the allowed ones is an error.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if len(os.Args) != 2 || (os.Args[1] != "list" && os.Args[1] != "texts") {
		fmt.Fprintln(os.Stderr, "usage: licences list|texts")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, what string) error {
	modules, err := linked("./server/cmd/carillon", "amd64", "arm64")
	if err != nil {
		return err
	}
	if err := judge(modules); err != nil {
		return err
	}
	if what == "texts" {
		return writeTexts(out, modules)
	}
	return writeList(out, modules)
}

func writeList(out io.Writer, modules []module) error {
	text := `<!-- Written by make licences. DO NOT EDIT. -->

# Third-party modules

What is linked into the program, and under which licences (SPDX identifiers).
Releases carry the texts. The console's and the explorer's packages have theirs in
[one](facade/console/dist/LICENSES.txt) and
[the other](facade/internal/explorer/assets/LICENSES.txt) file beside them.

| Module | Version | Licences |
|---|---|---|
`
	for _, m := range modules {
		text += fmt.Sprintf("| %s | %s | %s |\n", m.path, m.version, m.licences())
	}
	_, err := io.WriteString(out, text)
	return err
}

func writeTexts(out io.Writer, modules []module) error {
	for _, m := range modules {
		for _, f := range m.files {
			if _, err := fmt.Fprintf(out, "== %s %s, %s ==\n\n%s\n\n", m.path, m.version, f.name, f.text); err != nil {
				return err
			}
		}
	}
	return nil
}
