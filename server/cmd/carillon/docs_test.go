package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const configurationDoc = "../../../docs/configuration.md"

// documented is one row of a table of flags.
type documented struct{ variable, byDefault, meaning string }

func TestConfigurationDocTellsEveryFlag(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(configurationDoc)
	if err != nil {
		t.Fatal(err)
	}
	for name, cmd := range map[string]*cobra.Command{"serve": serveCommand(), "token": tokenCommand(), "doctor": doctorCommand()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := flagTable(t, string(text), "## carillon "+name)
			cmd.Flags().VisitAll(func(f *pflag.Flag) {
				row, found := rows["--"+f.Name]
				if !found {
					t.Errorf("%s has no row for --%s", configurationDoc, f.Name)
					return
				}
				delete(rows, "--"+f.Name)
				row.check(t, f)
			})
			for flag := range rows {
				t.Errorf("%s has a row for %s, which `carillon %s` does not know", configurationDoc, flag, name)
			}
		})
	}
}

// What both tables say of a flag of `carillon migrate` holds for it too.
func TestMigrateHasNoFlagsOfItsOwn(t *testing.T) {
	t.Parallel()
	token := tokenCommand().Flags()
	migrateCommand().Flags().VisitAll(func(f *pflag.Flag) {
		same := token.Lookup(f.Name)
		if same == nil || same.DefValue != f.DefValue || same.Usage != f.Usage {
			t.Errorf("`carillon migrate --%s` differs from that of `carillon token`; %s says that it does not", f.Name, configurationDoc)
		}
	})
}

// flagTable reads the rows of the first table below a heading, by flag.
func flagTable(t *testing.T, doc, heading string) map[string]documented {
	t.Helper()
	_, section, found := strings.Cut(doc, "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", configurationDoc, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]documented{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `--") {
			continue
		}
		if len(cells) != 4 {
			t.Fatalf("%s: a row of %q has %d cells, not 4: %s", configurationDoc, heading, len(cells), line)
		}
		flag := code(cells[0])
		if _, twice := rows[flag]; twice {
			t.Errorf("%s: %q has two rows for %s", configurationDoc, heading, flag)
		}
		rows[flag] = documented{variable: code(cells[1]), byDefault: strings.TrimSpace(cells[2]), meaning: strings.TrimSpace(cells[3])}
	}
	return rows
}

// code is a cell without its code quotes.
func code(cell string) string { return strings.Trim(strings.TrimSpace(cell), "`") }

// check compares a row with the flag that it is about.
func (d documented) check(t *testing.T, f *pflag.Flag) {
	t.Helper()
	if want := "CARILLON_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")); d.variable != want {
		t.Errorf("--%s: the variable is documented as %s, not %s", f.Name, d.variable, want)
	}
	if d.meaning == "" {
		t.Errorf("--%s: the meaning is missing", f.Name)
	}
	switch value := strings.Trim(f.DefValue, "[]"); {
	case value == "false":
		if d.byDefault != "off" {
			t.Errorf("--%s: the default is documented as %q, not off", f.Name, d.byDefault)
		}
	case value == "": // derived from other flags or from nothing: told in words
		if d.byDefault == "" || strings.HasPrefix(d.byDefault, "`") && strings.Count(d.byDefault, "`") == 2 && strings.HasSuffix(d.byDefault, "`") {
			t.Errorf("--%s has no default of its own, but %q is documented", f.Name, d.byDefault)
		}
	case !sameValue(code(d.byDefault), value):
		t.Errorf("--%s: the default is documented as %s, it is %s", f.Name, d.byDefault, value)
	}
}

// sameValue compares texts, or durations in any spelling.
func sameValue(a, b string) bool {
	x, errX := time.ParseDuration(a)
	y, errY := time.ParseDuration(b)
	return a == b || errX == nil && errY == nil && x == y
}
