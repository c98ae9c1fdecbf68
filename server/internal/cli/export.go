package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func exportCommand(s *session) *cobra.Command {
	var labels, dir string
	cmd := &cobra.Command{
		Use: "export", Short: "the instance's jobs and webhooks as files for apply", Args: cobra.NoArgs,
		Long: `Print the definitions of the instance's jobs and webhooks as YAML, or write them
to a folder, one file for each: what carillon diff and carillon apply read.`,
		Example: `  carillon export > jobs.yaml
  carillon export --dir jobs/ --label team=survey`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			instance, err := s.needInstance()
			if err != nil {
				return err
			}
			chosen, err := selector("label", labels)
			if err != nil {
				return err
			}
			var files []exported
			for _, k := range kinds {
				live, err := k.list(ctx, s, instance)
				if err != nil {
					return err
				}
				some, err := definitions(k, live, chosen)
				if err != nil {
					return err
				}
				files = append(files, some...)
			}
			if dir == "" {
				return printAll(cmd.OutOrStdout(), files)
			}
			return writeAll(dir, files)
		}),
	}
	cmd.Flags().StringVarP(&labels, "label", "l", "", "only jobs with, and webhooks about, these labels: `key=value`, comma separated")
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` to write one file for each job to")
	return cmd
}

// exported is one object's file.
type exported struct {
	name string
	text []byte
}

// definitions are the objects with the labels as files, oldest first. One whose
// key does not tell it from others is written with its id.
func definitions(k *kind, live []declarable, labels map[string]string) ([]exported, error) {
	count := map[string]int{}
	for _, d := range live {
		count[k.keyOf(d)]++
	}
	var files []exported
	used := map[string]bool{}
	for _, d := range slices.Backward(live) {
		if !matches(d.GetLabels(), labels) {
			continue
		}
		key := k.keyOf(d)
		text, err := exportable(k, d, key == "" || count[key] > 1)
		if err != nil {
			return nil, err
		}
		name := slug(key)
		if name == "" || used[name] {
			name = strings.Trim(name+"-"+d.GetId(), "-")
		}
		used[name] = true
		if k != kinds[0] {
			name = k.name + "-" + name
		}
		files = append(files, exported{name + ".yaml", text})
	}
	return files, nil
}

// exportable is what a file says of an object: its definition. That a job is
// active is left out, see [wanted].
func exportable(k *kind, d declarable, withID bool) ([]byte, error) {
	out := defined(d)
	k.plainly(out)
	text, err := messageYAML(out)
	if withID {
		text = append([]byte("id: "+d.GetId()+"\n"), text...)
	}
	if k != kinds[0] {
		text = append([]byte("kind: "+k.name+"\n"), text...)
	}
	return text, err
}

// slug is a name as part of a file's name.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "-")
}

func printAll(out io.Writer, files []exported) error {
	for i, file := range files {
		if i > 0 {
			if _, err := fmt.Fprintln(out, "---"); err != nil {
				return err
			}
		}
		if _, err := out.Write(file.text); err != nil {
			return err
		}
	}
	return nil
}

func writeAll(dir string, files []exported) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
