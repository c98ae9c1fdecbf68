package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that the program may carry: those that ask for no more
// than their text, and the MPL, which asks for the source of its own files.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LicenseRef-public-domain", "MIT", "MPL-2.0", "Unicode-DFS-2016", "Unlicense", "Zlib"}

// reviewed are texts that only people understand, by their SHA-256, with what
// they say of linked code. A text that changes must be read again.
var reviewed = map[string][]string{
	// modernc.org/libc: what it was made from, musl and Go above all.
	"f597097efe3d97021f89170746bd3a0fb9a8b6fb26b82043ed68a4e0283bee6c": {"BSD-2-Clause", "BSD-3-Clause", "MIT"},
	// modernc.org/memory: where the picture in its documentation comes from.
	"5ae5bee3072a841376451b48d8cfcec7188e10543926d5870828d36c8a750dc5": {},
	// modernc.org/sqlite: SQLite itself, and a list of what its module brings.
	"8438c9c89b849131ead81d5435cb97fcf052df5b0b286dda8a2d4c29e6cb3fd0": {"LicenseRef-public-domain"},
	"b4366b9c27a9364633e015011a231913ed19bf1228f335bf617e50a6f7b168a6": {"BSD-2-Clause", "BSD-3-Clause", "LicenseRef-public-domain", "MIT"},
}

// A text of which less is recognised may say more than its licence.
const recognised = 75 // percent

// licenceFile is the name of a file that holds a licence. Notices go with the
// texts, though they are none.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)`)

type module struct {
	path, version string
	files         []file
}

type file struct {
	name string // within the module
	text []byte
	ids  []string // nil when the text is not recognised
}

// licences are the module's identifiers, each once.
func (m module) licences() string {
	ids := map[string]bool{}
	for _, f := range m.files {
		for _, id := range f.ids {
			ids[id] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(ids)), ", ")
}

// judge refuses modules that may not be linked, all of them at once.
func judge(modules []module) error {
	var problems []error
	for _, m := range modules {
		if len(m.files) == 0 {
			problems = append(problems, fmt.Errorf("%s has no licence file", m.path))
		}
		for _, f := range m.files {
			if f.ids == nil {
				problems = append(problems, fmt.Errorf("%s: the text of %s is not recognised", m.path, f.name))
			}
			for _, id := range f.ids {
				if !slices.Contains(allowed, id) {
					problems = append(problems, fmt.Errorf("%s: %s is %s, which is not allowed", m.path, f.name, id))
				}
			}
		}
	}
	return errors.Join(problems...)
}

// read finds the licences of a module: of the folders of its linked packages, and
// of those above them.
func read(path, version, root string, packages []string) (module, error) {
	m := module{path: path, version: version}
	folders := map[string]bool{}
	for _, folder := range packages {
		for ; !folders[folder]; folder = filepath.Dir(folder) {
			if within, err := filepath.Rel(root, folder); err != nil || strings.HasPrefix(within, "..") {
				break
			}
			folders[folder] = true
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		files, err := licencesIn(root, folder)
		if err != nil {
			return module{}, err
		}
		m.files = append(m.files, files...)
	}
	return m, nil
}

func licencesIn(root, folder string) ([]file, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("look for licences: %w", err)
	}
	var files []file
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read a licence: %w", err)
		}
		name, err := filepath.Rel(root, filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: filepath.ToSlash(name), text: bytes.TrimSpace(text), ids: recognise(text)})
	}
	return files, nil
}

// recognise names the licences of a text, nil when too much of it is something
// else.
func recognise(text []byte) []string {
	sum := sha256.Sum256(text)
	if ids, ok := reviewed[hex.EncodeToString(sum[:])]; ok {
		return ids
	}
	coverage := licensecheck.Scan(text)
	if coverage.Percent < recognised {
		return nil
	}
	var ids []string
	for _, match := range coverage.Match {
		if !match.IsURL && !slices.Contains(ids, match.ID) {
			ids = append(ids, match.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// linked lists the modules that are linked into a program on Linux, but for the
// program's own, and Go's standard library as the first.
func linked(program string, architectures ...string) ([]module, error) {
	type place struct{ path, version, root string }
	packages := map[place][]string{}
	for _, architecture := range architectures {
		const format = `{{with .Module}}{{if not .Main}}{{.Path}}	{{.Version}}	{{.Dir}}	{{$.Dir}}{{end}}{{end}}`
		lines, err := goTool(architecture, "list", "-deps", "-f", format, program)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if f := strings.Split(line, "\t"); len(f) == 4 {
				p := place{f[0], f[1], f[2]}
				packages[p] = append(packages[p], f[3])
			}
		}
	}
	env, err := goTool(architectures[0], "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	standard, err := read("Go's standard library", "", env[0], []string{env[0]})
	if err != nil {
		return nil, err
	}
	modules := []module{standard}
	for _, p := range slices.SortedFunc(maps.Keys(packages), func(a, b place) int { return strings.Compare(a.path, b.path) }) {
		m, err := read(p.path, p.version, p.root, packages[p])
		if err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// goTool runs the go command as if for a release, one answer a line.
func goTool(architecture string, args ...string) ([]string, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}
