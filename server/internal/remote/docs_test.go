package remote

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/tests/apstest"
)

var jsonBlock = regexp.MustCompile("(?ms)^```json\n(.*?)^```$")

// The example of docs/remotes.md, from its config to its record, against
// services of our own: only what everybody has of their own is filled in.
func TestExampleOfTheDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/remotes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "\n## From ACC to Google Drive\n")
	blocks := jsonBlock.FindAllStringSubmatch(example, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d JSON blocks in the example, want the config, the job and a record", len(blocks))
	}
	var stored struct{ Config map[string]map[string]any }
	var job struct {
		Workflow struct {
			Tasks []struct {
				Args struct {
					Remotes   []string
					Mode      Mode
					MaxDelete string
					Exclude   []string
				}
			}
		}
	}
	var record struct {
		Files []struct{ Action, Path string }
	}
	for i, into := range []any{&stored, &job, &record} {
		if err := json.Unmarshal([]byte(blocks[i][1]), into); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
	}

	aps, drive := startAPS(t, apstest.Options{}), startDrive(t)
	for name, content := range map[string]string{"plans/a.dwg": "newer", "plans/b.pdf": "22", "plans/old.bak": "x", "plans/archive/c.dwg": "x"} {
		aps.Put("Project Files/"+name, content)
	}
	for i := range 10 { // one of ten may be deleted
		aps.Put("Project Files/plans/kept/"+string(rune('0'+i)), "k")
		drive.add(driveFile{MimeType: "text/plain"}, "plans/kept/"+string(rune('0'+i))).set([]byte("k"))
	}
	drive.add(driveFile{MimeType: "text/plain"}, "plans/a.dwg").set([]byte("old"))
	drive.add(driveFile{MimeType: "text/plain"}, "plans/gone.dwg").set([]byte("1"))
	toDrive := drive.bundle
	toDrive.route.Store(&route{suffix: ".googleapis.com:443", to: drive.Listener.Addr().String()})
	own := map[string]map[string]string{"acc": accConfig(aps, "ada").Options, "drive": drive.config().Options}
	open := func(s *Session, spec string) *Remote {
		name, path, _ := strings.Cut(spec, ":")
		typ, options, err := ParseConfig(name, stored.Config[name])
		if err != nil {
			t.Fatal(err)
		}
		for key := range options {
			if _, known := own[name][key]; !known {
				t.Errorf("%s: the fake has no %s", name, key)
			}
		}
		maps.Copy(options, own[name])
		return mustOpen(t, s, task.RemoteConfig{ResourceID: 7, Name: name, Type: typ, Options: options}, path)
	}
	args := job.Workflow.Tasks[0].Args
	limit, err := ParseDeleteLimit(args.MaxDelete)
	if err != nil {
		t.Fatal(err)
	}
	s := drive.begin(t)
	_, events, err := drive.sync(t, s, open(s, args.Remotes[0]), open(s, args.Remotes[1]), func(r *Request) {
		r.Mode, r.MaxDelete, r.Exclude = args.Mode, limit, args.Exclude
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, ev := range events {
		got[ev.Path] = ev.Action
	}
	want := map[string]string{}
	for _, ev := range record.Files {
		want[ev.Path] = ev.Action
	}
	if !maps.Equal(got, want) {
		t.Errorf("the record is %v, the docs say %v", got, want)
	}
	if tree := drive.tree(); tree["plans/a.dwg"] != "newer" || tree["plans/b.pdf"] != "22" || tree["plans/gone.dwg"] != "" || tree["plans/old.bak"] != "" {
		t.Errorf("the drive has %v", tree)
	}
}

// route leads the addresses that end in suffix elsewhere, and no others.
type route struct{ suffix, to string }

func (r *route) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasSuffix(address, r.suffix) {
		address = r.to
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
