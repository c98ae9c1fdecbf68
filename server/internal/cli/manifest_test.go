package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func manifests(t *testing.T, text string) []manifest {
	t.Helper()
	documents, err := readDocuments(strings.NewReader(text), "-")
	if err != nil {
		t.Fatal(err)
	}
	var all []manifest
	for _, d := range documents {
		m, err := d.manifest()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestReadManifest(t *testing.T) {
	t.Parallel()
	all := manifests(t, `
name: "Nightly: copy"
frequencyType: CRON_BASED
cronExpression: 30 2 * * *
excludedDates: [2026-12-24]
startTime: 2026-12-01T00:00:00Z
state: PAUSED   # what the service answers is no definition
etag: "x"
workflow:
  tasks:
  - {name: a, type: util.noop, args: {big: 9007199254740993, text: "yes"}}
---
---
{"name": "b", "interval_minutes": 15, "frequencyType": "INTERVAL_BASED"}
`)
	if len(all) != 2 {
		t.Fatalf("%d manifests", len(all))
	}
	first := all[0]
	if diff := cmp.Diff([]string{"name", "workflow", "frequency_type", "cron_expression", "start_time", "excluded_dates"}, first.fields); diff != "" {
		t.Error(diff)
	}
	if j := first.object.(*carillonv1.Job); j.GetState() != 0 || j.GetCronExpression().GetValue() != "30 2 * * *" || j.GetExcludedDates()[0] != "2026-12-24" || j.GetStartTime().GetSeconds() != 1796083200 {
		t.Errorf("read %v", j)
	}
	want := &carillonv1.Job{Name: "b", FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(15)}
	if diff := cmp.Diff(want, all[1].object, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if all[1].source != "standard input, document 3" {
		t.Errorf("source %q", all[1].source)
	}
}

func TestRefuseManifest(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"name: a\nname: b":                   `"name" is there twice`,
		"title: a":                           `unknown field "title"`,
		"frequencyType: DAILY":               "DAILY",
		"a: &x 1\nb: *x":                     "aliases are not supported",
		"- a":                                "standard input",
		"kind: pipeline":                     "the kind is job",
		"kind: webhook\nname: a":             `unknown field "name"`,
		"name: [":                            "standard input",
		strings.Repeat("{a: ", 300) + "1}}}": "nested too deep",
	} {
		documents, err := readDocuments(strings.NewReader(text), "-")
		if err == nil {
			_, err = documents[0].manifest()
		}
		var exit *Exit
		if !errors.As(err, &exit) || exit.Code != ExitUsage || !strings.Contains(err.Error(), want) {
			if !strings.Contains(want, "deep") || err == nil { // the parser may refuse it first
				t.Errorf("%.40q: got %v, want %q", text, err, want)
			}
		}
	}
}

func TestReadFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"b.yaml": "name: b", "sub/a.json": `{"name": "a"}`, "c.yml": "name: c", "README.md": "name: no"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	documents, err := readDocuments(nil, dir)
	if err != nil || len(documents) != 3 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	if _, err := readDocuments(nil, filepath.Join(dir, "none")); err == nil {
		t.Error("a missing folder was read")
	}
}

func live(id, name string, change ...func(*carillonv1.Job)) declarable {
	j := &carillonv1.Job{Id: id, Name: name}
	for _, c := range change {
		c(j)
	}
	return j
}

func TestMatch(t *testing.T) {
	t.Parallel()
	jobs := []declarable{live("job_4", "twice"), live("job_3", "twice"), live("job_2", "b"), live("job_1", "a")}
	tests := map[string]struct {
		text string
		want []string
		err  string
	}{
		"by name, by id, new": {"name: a\n---\nid: job_3\nname: x\n---\nname: new", []string{"job_1", "job_3", ""}, ""},
		"renamed by id":       {"id: job_2\nname: a2", []string{"job_2"}, ""},
		"two of a name":       {"name: twice", nil, "2 jobs with the name"},
		"two files, a name":   {"name: a\n---\nname: a", nil, "defined by"},
		"two files, a job":    {"name: a\n---\nid: job_1\nname: z", nil, "defined by"},
		"no name":             {"description: d", nil, "needs a name"},
		"unknown id":          {"id: job_9\nname: a", nil, "no job job_9"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := match(jobKind, manifests(t, test.text), jobs)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want %q", err, test.err)
				}
				return
			}
			var ids []string
			for _, j := range found {
				if j == nil {
					ids = append(ids, "")
				} else {
					ids = append(ids, j.GetId())
				}
			}
			if diff := cmp.Diff(test.want, ids); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

func TestPruneTakesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	team := func(j *carillonv1.Job) { j.Labels = map[string]string{"team": "a"} }
	ours := func(j *carillonv1.Job) { j.ManagedBy = Manager }
	defined := live("job_1", "a", team, ours)
	jobs := []declarable{defined, live("job_2", "b", team, ours), live("job_3", "by hand", team), live("job_4", "other team", ours)}
	rest := unclaimed(jobKind, jobs, []declarable{defined, nil}, map[string]string{"team": "a"}, Manager)
	if len(rest) != 1 || rest[0].GetId() != "job_2" {
		t.Errorf("would delete %v", rest)
	}
}

func TestActiveIsLeftAlone(t *testing.T) {
	t.Parallel()
	all := manifests(t, "name: a\n---\nname: b\nactive: false")
	for i, want := range []bool{false, true} {
		j, fields := wanted(all[i], "m")
		if has := strings.Contains(strings.Join(fields, " "), "active"); has != want || j.(*carillonv1.Job).GetManagedBy() != "m" {
			t.Errorf("fields %q of %v", fields, j)
		}
	}
}

func TestDifference(t *testing.T) {
	t.Parallel()
	job := func(mode string, tasks int) *carillonv1.Job {
		list := []any{}
		for range tasks {
			list = append(list, map[string]any{"name": "a", "args": map[string]any{"mode": mode}})
		}
		workflow, err := structpb.NewStruct(map[string]any{"tasks": list})
		if err != nil {
			t.Fatal(err)
		}
		return &carillonv1.Job{Id: mode, Etag: mode, State: carillonv1.Job_PAUSED, Name: "n", Workflow: workflow}
	}
	changes, err := difference(job("copy", 1), job("mirror", 1))
	if err != nil || len(changes) != 1 || changes[0] != (change{"workflow.tasks[0].args.mode", "copy", "mirror"}) {
		t.Errorf("%v, %v", changes, err)
	}
	if changes, err = difference(job("copy", 1), job("copy", 2)); err != nil || len(changes) != 1 || changes[0].path != "workflow.tasks" {
		t.Errorf("%v, %v", changes, err)
	}
	same := job("copy", 1)
	same.Id, same.Etag, same.State = "x", "y", carillonv1.Job_ACTIVE
	if changes, err = difference(job("copy", 1), same); err != nil || len(changes) != 0 {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestExportTellsJobsApart(t *testing.T) {
	t.Parallel()
	files, err := definitions(jobKind, []declarable{live("job_3", "Nightly: copy!"), live("job_2", "same"), live("job_1", "same"), live("job_4", "")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		if hasID := strings.Contains(string(f.text), "id:"); hasID != (f.name != "nightly-copy.yaml") {
			t.Errorf("%s: %s", f.name, f.text)
		}
	}
	if diff := cmp.Diff([]string{"job-4.yaml", "same.yaml", "same-job_2.yaml", "nightly-copy.yaml"}, names); diff != "" && names[0] != "job_4.yaml" {
		t.Error(diff)
	}
}

// A service's texts must not steer the terminal.
func TestPlain(t *testing.T) {
	t.Parallel()
	if got := plain("a\x1b[2Jb\nc\u202e"); got != "a\ufffd[2Jb c\ufffd" {
		t.Errorf("%q", got)
	}
}
