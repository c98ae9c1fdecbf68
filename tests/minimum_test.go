package tests

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/pointscene/carillon/tests/harness"
)

type minimum struct{ version, why string }

// minimums reads .ci/minimum-versions.
func minimums(t *testing.T, root string) map[string]minimum {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".ci/minimum-versions"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]minimum{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) < 3 || !semver.IsValid(fields[1]) {
			t.Fatalf("this line lacks its version or its reason: %s", line)
		}
		found[fields[0]] = minimum{fields[1], strings.Join(fields[2:], " ")}
	}
	return found
}

// goVersions adds what a go.mod names, which since Go 1.17 is all that is built.
func goVersions(t *testing.T, path string, text []byte) map[string]string {
	t.Helper()
	parsed, err := modfile.Parse(path, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Replace) > 0 {
		t.Errorf("%s replaces modules, by what no version tells", path)
	}
	versions := map[string]string{"go": "v" + parsed.Go.Version}
	for _, required := range parsed.Require {
		versions[required.Mod.Path] = required.Mod.Version
	}
	return versions
}

// npmVersions reads a lock, where every package also has a checksum and a
// licence that asks for nothing.
func npmVersions(t *testing.T, path string, text []byte) map[string]string {
	t.Helper()
	var lock struct {
		Packages map[string]struct{ Version, License, Integrity, Resolved string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for place, p := range lock.Packages {
		if place == "" {
			continue
		}
		if !strings.HasPrefix(p.Integrity, "sha512-") || (p.Resolved != "" && !strings.HasPrefix(p.Resolved, "https://registry.npmjs.org/")) {
			t.Errorf("%s: %s has no checksum, or comes from elsewhere than the registry", path, place)
		}
		switch p.License {
		case "0BSD", "MIT", "Apache-2.0", "(Apache-2.0 AND BSD-3-Clause)", "BSD-3-Clause", "ISC", "MPL-2.0":
		default:
			t.Errorf("%s: %s has the licence %q", path, place, p.License)
		}
		name := "npm:" + place[strings.LastIndex(place, "node_modules/")+len("node_modules/"):]
		if known, ok := versions[name]; !ok || semver.Compare("v"+p.Version, known) < 0 {
			versions[name] = "v" + p.Version
		}
	}
	return versions
}

// Nothing that is built with or against is older than what is known to be wrong.
func TestMinimumVersions(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	wanted := minimums(t, root)
	unused := minimums(t, root)
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || (entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git" || entry.Name() == ".build" || entry.Name() == "data")) {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if entry.Name() != "go.mod" && entry.Name() != "package-lock.json" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read := goVersions
		if entry.Name() == "package-lock.json" {
			read = npmVersions
		}
		for name, version := range read(t, path, text) {
			if least, ok := wanted[name]; ok && semver.Compare(version, least.version) < 0 {
				t.Errorf("%s: %s %s is below %s: %s", path, name, version, least.version, least.why)
			}
			delete(unused, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range unused {
		t.Errorf("nobody requires %s any more: remove its line", name)
	}
}
