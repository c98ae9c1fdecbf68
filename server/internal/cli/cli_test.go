package cli

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// leaves are the commands that do something, by path.
func leaves(path string, commands []*cobra.Command, found map[string]*cobra.Command) map[string]*cobra.Command {
	for _, cmd := range commands {
		at := strings.TrimSpace(path + " " + cmd.Name())
		if cmd.HasSubCommands() {
			leaves(at, cmd.Commands(), found)
		} else {
			found[at] = cmd
		}
	}
	return found
}

func TestEveryCommandHasAnExampleOfItself(t *testing.T) {
	t.Parallel()
	all := leaves("", Commands(), map[string]*cobra.Command{})
	for path, cmd := range all {
		if !strings.Contains(cmd.Example, "carillon "+path) {
			t.Errorf("carillon %s has no example: %q", path, cmd.Example)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(examples)) {
		if all[path] == nil {
			t.Errorf("there is no carillon %s", path)
		}
	}
}

// Examples name flags that exist: they are what people copy.
func TestExamplesParse(t *testing.T) {
	t.Parallel()
	for path, cmd := range leaves("", Commands(), map[string]*cobra.Command{}) {
		for line := range strings.Lines(cmd.Example) {
			_, rest, found := strings.Cut(line, "carillon "+path)
			if !found {
				continue
			}
			rest, _, _ = strings.Cut(rest, "|")
			rest, _, _ = strings.Cut(rest, "#")
			for _, word := range strings.Fields(rest) {
				name, _, _ := strings.Cut(strings.TrimRight(word, ")"), "=")
				long, isLong := strings.CutPrefix(name, "--")
				if isLong && cmd.Flag(long) == nil && cmd.InheritedFlags().Lookup(long) == nil {
					t.Errorf("carillon %s has no flag %s: %s", path, name, line)
				}
			}
		}
	}
}
