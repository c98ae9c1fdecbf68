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
	"google.golang.org/protobuf/proto"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func exportCommand(s *session) *cobra.Command {
	var labels, dir string
	cmd := &cobra.Command{
		Use: "export", Short: "the instance's jobs as files for apply", Args: cobra.NoArgs,
		Long: `Print the definitions of the instance's jobs as YAML, or write them to a folder,
one file for each: what carillon diff and carillon apply read.`,
		Example: `  carillon export > jobs.yaml
  carillon export --dir jobs/ --label team=survey`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			instance, err := s.needInstance()
			if err != nil {
				return err
			}
			chosen, err := selector(labels)
			if err != nil {
				return err
			}
			live, err := s.listJobs(ctx, instance, 0, nil)
			if err != nil {
				return err
			}
			files, err := definitions(live.GetJobs(), chosen)
			if err != nil {
				return err
			}
			if dir == "" {
				return printAll(cmd.OutOrStdout(), files)
			}
			return writeAll(dir, files)
		}),
	}
	cmd.Flags().StringVarP(&labels, "label", "l", "", "only jobs with these labels: `key=value`, comma separated")
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` to write one file for each job to")
	return cmd
}

// exported is one job's file.
type exported struct {
	name string
	text []byte
}

// definitions are the jobs with the labels as files, oldest first. A job whose
// name does not tell it from others is written with its id.
func definitions(live []*carillonv1.Job, labels map[string]string) ([]exported, error) {
	named := map[string]int{}
	for _, j := range live {
		named[j.GetName()]++
	}
	var files []exported
	used := map[string]bool{}
	for _, j := range slices.Backward(live) {
		if !matches(j.GetLabels(), labels) {
			continue
		}
		text, err := messageYAML(exportable(j, j.GetName() == "" || named[j.GetName()] > 1))
		if err != nil {
			return nil, err
		}
		name := slug(j.GetName())
		if name == "" || used[name] {
			name = strings.Trim(name+"-"+j.GetId(), "-")
		}
		used[name] = true
		files = append(files, exported{name + ".yaml", text})
	}
	return files, nil
}

// exportable is what a file says of a job: its definition. That it is active is
// left out, see [wanted]; and who manages it is apply's to say.
func exportable(j *carillonv1.Job, withID bool) proto.Message {
	j = proto.CloneOf(j)
	id := j.GetId()
	message := j.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); answered(field) || slices.Contains(identity, field.Name()) {
			message.Clear(field)
		}
	}
	j.ManagedBy = ""
	if withID {
		j.Id = id
	}
	if j.GetActive() {
		j.Active = nil
	}
	return j
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
