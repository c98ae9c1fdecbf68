package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../../../.."

// THIRD_PARTY.md tells what is linked, and all of it may be.
func TestThirdPartyIsFresh(t *testing.T) {
	t.Chdir(root)
	var fresh bytes.Buffer
	if err := run(&fresh, "list"); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile("THIRD_PARTY.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(written), "\n"), strings.Split(fresh.String(), "\n")); diff != "" {
		t.Errorf("THIRD_PARTY.md is stale, run make licences (-written +fresh):\n%s", diff)
	}
}

// A text is what it says all the way through, or it is nothing.
func TestJudgement(t *testing.T) {
	t.Parallel()
	mit, err := os.ReadFile("testdata/MIT.txt")
	if err != nil {
		t.Fatal(err)
	}
	gpl := "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
	for name, c := range map[string]struct{ text, refusal string }{
		"allowed":      {string(mit), ""},
		"copyleft":     {gpl, "LICENSE is GPL-3.0-or-later, which is not allowed"},
		"both":         {string(mit) + "\n" + gpl, "LICENSE is GPL-3.0-or-later, which is not allowed"},
		"more than it": {string(mit) + strings.Repeat("\nYou owe us a house, a horse and a hundred thousand pounds.", 20), "the text of LICENSE is not recognised"},
		"no licence":   {"All rights reserved.", "the text of LICENSE is not recognised"},
		"none":         {"", "has no licence file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if c.text != "" {
				if err := os.WriteFile(filepath.Join(folder, "LICENSE"), []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			m, err := read("example.com/m", "v1.0.0", folder, []string{folder})
			if err != nil {
				t.Fatal(err)
			}
			err = judge([]module{m})
			if (err == nil) != (c.refusal == "") || (err != nil && !strings.Contains(err.Error(), c.refusal)) {
				t.Errorf("judged %v, wanted %q", err, c.refusal)
			}
		})
	}
}

// A package's own licence counts beside that of its module, and what is not
// linked does not.
func TestLicencesOfPackages(t *testing.T) {
	t.Parallel()
	mit, err := os.ReadFile("testdata/MIT.txt")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"LICENSE", "a/b/COPYING", "a/readme", "c/LICENCE.txt", "a/license.go"} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, mit, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := read("example.com/m", "v1.0.0", folder, []string{filepath.Join(folder, "a/b"), filepath.Join(folder, "a")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range m.files {
		names = append(names, f.name)
	}
	if diff := cmp.Diff([]string{"LICENSE", "a/b/COPYING"}, names); diff != "" {
		t.Error(diff)
	}
}
