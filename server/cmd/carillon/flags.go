package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/pointscene/carillon/server"
)

// commonFlags are those of every command that opens the database. What check
// says of all flags is told before anything is opened.
func commonFlags(cmd *cobra.Command, c *server.Config, check func() error) {
	storageFlags(cmd.Flags(), c)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := fillFlags(cmd.Flags()); err != nil {
			return err
		}
		if err := check(); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// storageFlags say where the database and the keyset are.
func storageFlags(f *pflag.FlagSet, c *server.Config) {
	f.String("config", "", "YAML `file` with defaults for the flags")
	f.StringVar(&c.DataDir, "data-dir", c.DataDir, "`folder` for the embedded database, keys, logs and work files; one per process")
	f.StringVar(&c.DatabaseURL, "database-url", "", "`postgres://…`, which any number of replicas may share (default the SQLite file in the data dir)")
	f.StringVar(&c.Keyset, "keyset", "", "`file` of the key-encryption keyset (default <data-dir>/keys/keyset.json)")
	f.StringVar(&c.KeysetKMS, "keyset-kms", "", "`URL` of the KMS key that wraps the keyset: hcvault://, aws-kms:// or gcp-kms:// (default none)")
}

// fillFlags sets what was not given as a flag from the environment, then from
// the file that --config names. Both go through the flags' own parsers.
func fillFlags(flags *pflag.FlagSet) error {
	var problems []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "CARILLON_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || f.Name == "help" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	})
	if err := errors.Join(problems...); err != nil {
		return usageError{err}
	}
	file, err := flags.GetString("config")
	if err != nil || file == "" {
		return err
	}
	if err := fillFromFile(flags, file); err != nil {
		return usageError{fmt.Errorf("--config %s: %w", file, err)}
	}
	return nil
}

func fillFromFile(flags *pflag.FlagSet, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var values map[string]yaml.Node
	if err := yaml.Unmarshal(text, &values); err != nil {
		return err
	}
	var problems []error
	for name, node := range values {
		f := flags.Lookup(name)
		switch {
		case f == nil && serveFlags().Lookup(name) != nil:
			continue // one file serves all commands
		case f == nil || name == "config" || name == "help":
			problems = append(problems, fmt.Errorf("line %d: %q is not a flag of carillon", node.Line, name))
			continue
		case f.Changed:
			continue
		}
		if err := setFromYAML(flags, name, node); err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", node.Line, err))
		}
	}
	return errors.Join(problems...)
}

// serveFlags are the flags that a file may name, whatever the command.
func serveFlags() *pflag.FlagSet { return serveCommand().Flags() }

// setFromYAML sets a flag from a scalar, or a list flag from a list.
func setFromYAML(flags *pflag.FlagSet, name string, node yaml.Node) error {
	if node.Kind == yaml.SequenceNode {
		var items []string
		if err := node.Decode(&items); err != nil {
			return err
		}
		return flags.Set(name, strings.Join(items, ","))
	}
	var value string
	if err := node.Decode(&value); err != nil {
		return fmt.Errorf("%s: write one value or a list", name)
	}
	return flags.Set(name, value)
}
