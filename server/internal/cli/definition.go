package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// definition is what flags and a file say of a job; flags win.
type definition struct {
	file, workflow       string
	name, description    string
	cron, zone, interval string
	manual, active       bool
	labels               []string
	overlap              string
}

func (d *definition) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&d.file, "file", "f", "", "YAML or JSON `file` with fields of a job as in the API; - for standard input")
	f.StringVar(&d.workflow, "workflow", "", "YAML or JSON `file` with the workflow")
	f.StringVar(&d.name, "name", "", "a name for people")
	f.StringVar(&d.description, "description", "", "for people")
	f.StringVar(&d.cron, "cron", "", "cron `expression` of five fields")
	f.StringVar(&d.zone, "zone", "", "IANA time `zone` of the cron expression")
	f.StringVar(&d.interval, "interval", "", "run every so often: a `duration` of whole minutes, such as 15m")
	f.BoolVar(&d.manual, "manual", false, "run by hand only")
	f.BoolVar(&d.active, "active", true, "whether it runs when it is due")
	f.StringArrayVarP(&d.labels, "label", "l", nil, "label `key=value`; may be repeated; replaces all labels")
	f.StringVar(&d.overlap, "overlap-policy", "", "what happens when it is due while it runs: SKIP, BUFFER_ONE, BUFFER_ALL, CANCEL_OTHER or ALLOW")
	cmd.MarkFlagsMutuallyExclusive("cron", "interval", "manual")
	cmd.MarkFlagsMutuallyExclusive("zone", "interval")
}

// read makes the job, and tells which of its fields are given, as paths of a
// field mask.
func (d *definition) read(cmd *cobra.Command) (*carillonv1.Job, []string, error) {
	j := &carillonv1.Job{}
	given := map[string]bool{}
	if d.file != "" {
		documents, err := readDocuments(cmd.InOrStdin(), d.file)
		if err != nil {
			return nil, nil, err
		}
		if len(documents) != 1 {
			return nil, nil, usage("%s holds %d documents: write one", d.file, len(documents))
		}
		m, err := documents[0].manifest()
		if err != nil {
			return nil, nil, err
		}
		if j, err = m.job(); err != nil {
			return nil, nil, err
		}
		for _, field := range m.fields {
			given[field] = true
		}
	}
	if err := d.overrule(cmd, j, given); err != nil {
		return nil, nil, err
	}
	return j, slices.Sorted(maps.Keys(given)), nil
}

// overrule sets what was given as a flag.
func (d *definition) overrule(cmd *cobra.Command, j *carillonv1.Job, given map[string]bool) error {
	set := func(flag, field string, to func() error) error {
		if !cmd.Flags().Changed(flag) {
			return nil
		}
		given[field] = true
		return to()
	}
	for _, err := range []error{
		set("name", "name", func() error { j.Name = d.name; return nil }),
		set("description", "description", func() error { j.Description = d.description; return nil }),
		set("zone", "time_zone", func() error { j.TimeZone = proto.String(d.zone); return nil }),
		set("active", "active", func() error { j.Active = proto.Bool(d.active); return nil }),
		set("cron", "cron_expression", func() error {
			given["frequency_type"] = true
			j.FrequencyType, j.CronExpression = carillonv1.Job_CRON_BASED, wrapperspb.String(d.cron)
			return nil
		}),
		set("interval", "interval_minutes", func() error { return d.setInterval(j, given) }),
		set("manual", "frequency_type", func() error { j.FrequencyType = carillonv1.Job_MANUAL; return nil }),
		set("label", "labels", func() error { return d.setLabels(j) }),
		set("overlap-policy", "overlap_policy", func() (err error) { j.OverlapPolicy, err = overlapPolicy(d.overlap); return err }),
		set("workflow", "workflow", func() error { return d.setWorkflow(cmd, j) }),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *definition) setInterval(j *carillonv1.Job, given map[string]bool) error {
	minutes, err := wholeMinutes(d.interval)
	if err != nil {
		return err
	}
	given["frequency_type"] = true
	j.FrequencyType, j.IntervalMinutes = carillonv1.Job_INTERVAL_BASED, wrapperspb.Int32(minutes)
	return nil
}

func (d *definition) setLabels(j *carillonv1.Job) error {
	labels, err := selector("label", strings.Join(d.labels, ","))
	j.Labels = labels
	return err
}

func (d *definition) setWorkflow(cmd *cobra.Command, j *carillonv1.Job) error {
	documents, err := readDocuments(cmd.InOrStdin(), d.workflow)
	if err != nil {
		return err
	}
	if len(documents) != 1 {
		return usage("%s holds %d documents: write one workflow", d.workflow, len(documents))
	}
	j.Workflow = &structpb.Struct{}
	if err := protojson.Unmarshal(documents[0].json, j.Workflow); err != nil {
		return usage("%s: a workflow is an object {tasks: […]}", documents[0].source)
	}
	return nil
}
