package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// table is rows for people.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// addGiven adds a name with its value, if there is one.
func (t *table) addGiven(name, value string) {
	if value != "" {
		t.add(name, value)
	}
}

// print writes a message as the user asked for it; rows makes the table.
func (s *session) print(out io.Writer, m proto.Message, rows func() *table) error {
	switch s.output {
	case "json":
		text, err := messageJSON(m)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", text)
		return err
	case "yaml":
		text, err := messageYAML(m)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	default:
		return rows().write(out)
	}
}

// write aligns the rows in columns, or, for a table without a head, each name
// with its value.
func (t *table) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if t.head != nil {
		_, _ = fmt.Fprintln(w, strings.Join(t.head, "\t"))
	}
	for _, row := range t.rows {
		for i := range row {
			row[i] = plain(row[i])
			if row[i] == "" {
				row[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// withSecret prints an object whose secret is answered this once; one that was
// only checked has none.
func (s *session) withSecret(cmd *cobra.Command, m proto.Message, secret string, rows func() *table) error {
	if err := s.print(cmd.OutOrStdout(), m, rows); err != nil || s.output != "table" || secret == "" {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "\nThe secret, which is not answered again: %s\n", secret)
	return err
}

// say tells a person what was done, where nothing is printed.
func say(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

// messageJSON is a message in the contract's JSON, indented, with fields in a
// stable order and without those that are not set.
func messageJSON(m proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	// protojson varies its white space on purpose.
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return nil, err
	}
	return indented.Bytes(), nil
}

// messageLine is a message in the contract's JSON on one line.
func messageLine(m proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, err
	}
	return line.Bytes(), nil
}

// messageDocument is one of the documents of a YAML stream.
func messageDocument(m proto.Message) ([]byte, error) {
	text, err := messageYAML(m)
	return append([]byte("---\n"), bytes.TrimSpace(text)...), err
}

func messageYAML(m proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	// JSON is YAML; read as nodes it keeps its order and its numbers.
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, err
	}
	loosen(&node)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// loosen takes JSON's braces and quotes off, where YAML can do without.
func loosen(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		loosen(child)
	}
}

// plain is text without control characters, which could steer a terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// at is an instant in UTC to the second; empty for none.
func at(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

// soon is an instant with how far it is from now.
func soon(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	d := t.AsTime().Sub(now)
	if d < 0 {
		return at(t)
	}
	return fmt.Sprintf("%s (in %s)", at(t), rough(d))
}

// rough is a duration in its largest one or two units.
func rough(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		text := d.Round(time.Second).String()
		if strings.HasSuffix(text, "m0s") {
			return strings.TrimSuffix(text, "0s")
		}
		return text
	case d < 48*time.Hour:
		text := strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
		if strings.HasSuffix(text, "h0m") {
			return strings.TrimSuffix(text, "0m")
		}
		return text
	default:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// took is the time between two instants; empty while one is missing.
func took(from, to *timestamppb.Timestamp) string {
	if from == nil || to == nil {
		return ""
	}
	return rough(to.AsTime().Sub(from.AsTime()))
}
