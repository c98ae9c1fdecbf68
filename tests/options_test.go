package tests

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
)

// syncCase is one sync of folders on a disk.
type syncCase struct {
	// before are the files, below the case's folder; a content that begins with
	// "->" is a symbolic link. All have one time.
	before map[string]string
	// args are added to those of a sync of src to dst.
	args object
	// between, when set, are written between two runs.
	between map[string]string

	state, reason string
	// counters are those that are not zero, bytes and totals apart.
	counters map[string]string
	// after are the files below the places named, in the end.
	after map[string]string
	// check sees the execution that ended last, and its files.
	check func(t *testing.T, e object, files []object)
}

// diskTime is that of all files that a case begins with.
var diskTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func fill(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		at := filepath.Join(root, name)
		if target, link := strings.CutPrefix(content, "->"); link {
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(target, at)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		writeFile(t, at, content)
		if err := os.Chtimes(at, diskTime, diskTime); err != nil {
			t.Fatal(err)
		}
	}
}

var syncCases = map[string]syncCase{
	"include and exclude": {
		before:   map[string]string{"src/a.txt": "1", "src/b.bin": "2", "src/keep/c.bin": "3", "src/keep/d.tmp": "4", "dst/old.txt": "5", "dst/old.bin": "6"},
		args:     object{"include": []any{"*.txt", "/keep/**"}, "exclude": []any{"*.tmp"}, "maxDelete": 1},
		state:    "SUCCEEDED",
		counters: map[string]string{"found": "2", "copied": "2", "deleted": "1"},
		after:    map[string]string{"dst/a.txt": "1", "dst/keep/c.bin": "3", "dst/old.bin": "6"},
	},
	"checksum": {
		before:   map[string]string{"src/a": "new", "dst/a": "old", "src/b": "same", "dst/b": "same"},
		args:     object{"checksum": true, "transfers": 32},
		state:    "SUCCEEDED",
		counters: map[string]string{"found": "2", "updated": "1", "skipped": "1"},
		after:    map[string]string{"dst/a": "new", "dst/b": "same"},
	},
	"dry run": {
		before:   map[string]string{"src/a": "1", "src/b": "22", "dst/b": "2", "dst/c": "3"},
		args:     object{"dryRun": true},
		state:    "SUCCEEDED",
		counters: map[string]string{"found": "2", "copied": "1", "updated": "1", "deleted": "1"},
		after:    map[string]string{"dst/b": "2", "dst/c": "3"},
		check: func(t *testing.T, _ object, files []object) {
			for _, f := range files {
				if f["state"] != "PLANNED" {
					t.Errorf("a dry run's record: %v", f)
				}
			}
		},
	},
	"backup folder": {
		before:   map[string]string{"src/a": "22", "dst/a": "1", "dst/gone": "3"},
		args:     object{"backupDir": "/CASE/old"},
		state:    "SUCCEEDED",
		counters: map[string]string{"found": "1", "updated": "1", "deleted": "1"},
		after:    map[string]string{"dst/a": "22", "old/EXECUTION/a": "1", "old/EXECUTION/gone": "3"},
	},
	"bandwidth": {
		before:   map[string]string{"src/a": strings.Repeat("x", 768<<10)},
		args:     object{"bandwidth": "256K", "transfers": 1},
		state:    "SUCCEEDED",
		counters: map[string]string{"found": "1", "copied": "1"},
		after:    map[string]string{"dst/a": strings.Repeat("x", 768<<10)},
		check: func(t *testing.T, e object, _ []object) {
			began, _ := time.Parse(time.RFC3339Nano, harness.Text(e, "startedAt"))
			ended, err := time.Parse(time.RFC3339Nano, harness.Text(e, "finishedAt"))
			if took := ended.Sub(began); err != nil || took < 1500*time.Millisecond {
				t.Errorf("768 KiB at 256 KiB/s took %v", took)
			}
		},
	},
	"two further remotes, one fails": {
		before:   map[string]string{"src/a": "1", "file": "no folder"},
		args:     object{"remotes": []any{"a:/CASE/src", "b:/CASE/file", "c:/CASE/dst"}},
		state:    "PARTIALLY_SUCCEEDED",
		reason:   "REMOTE_PATH_IS_FILE",
		counters: map[string]string{"found": "1", "copied": "1"},
		after:    map[string]string{"dst/a": "1", "file": "no folder"},
		check: func(t *testing.T, e object, _ []object) {
			remotes := harness.List(harness.List(e, "tasks")[0], "remotes")
			if len(remotes) != 2 || remotes[0]["state"] != "FAILED" || harness.Text(remotes[0], "error", "reason") != "REMOTE_PATH_IS_FILE" || remotes[1]["state"] != "SUCCEEDED" {
				t.Errorf("remotes %v", remotes)
			}
		},
	},
	"files that fail": {
		before: map[string]string{"src/ok": "1", "src/d/1": "", "src/d/2": "", "src/d/3": "", "src/d/4": "", "src/d/5": "", "src/d/6": "",
			"dst/kept": "2", "dst/d": "->/"}, // a link leads out
		args:     object{"maxDelete": "100%"},
		state:    "PARTIALLY_SUCCEEDED",
		reason:   "FILES_FAILED",
		counters: map[string]string{"found": "7", "copied": "1", "failed": "6"},
		after:    map[string]string{"dst/ok": "1", "dst/kept": "2"},
		check: func(t *testing.T, e object, files []object) {
			sums := harness.List(harness.List(e, "tasks")[0], "fileErrors")
			if len(sums) != 1 || fmt.Sprint(sums[0]["count"]) != "6" || sums[0]["reason"] == "" || len(sums[0]["samples"].([]any)) != 5 {
				t.Errorf("errors %v", sums)
			}
			failed := 0
			for _, f := range files {
				if f["state"] == "FAILED" && strings.HasPrefix(harness.Text(f, "path"), "d/") && f["message"] != "" {
					failed++
				}
			}
			if failed != 6 {
				t.Errorf("records %v", files)
			}
		},
	},
	"bisync keeps both of a conflict": {
		before:   map[string]string{"src/a": "1", "src/only": "2", "dst/other": "3"},
		args:     object{"mode": "bisync"},
		between:  map[string]string{"src/a": "from src", "dst/a": "from the other"},
		state:    "SUCCEEDED",
		counters: map[string]string{"found": "3", "skipped": "2", "conflicts": "1"},
		after: map[string]string{"src/a": "from src", "dst/a": "from src", "src/a.CONFLICT": "from the other", "dst/a.CONFLICT": "from the other",
			"src/only": "2", "dst/only": "2", "src/other": "3", "dst/other": "3"},
		check: func(t *testing.T, _ object, files []object) {
			if len(files) != 1 || files[0]["action"] != "CONFLICT" || files[0]["reason"] != "CONFLICT" || files[0]["path"] != "a" {
				t.Errorf("records %v", files)
			}
		},
	},
	"strange names": {
		before:   map[string]string{"src/" + oddName: "", "src/u\u0308": "decomposed", "src/" + strings.Repeat("ä", 127): "long", "src/A": "upper", "src/a": "lower"},
		state:    "SUCCEEDED",
		counters: map[string]string{"found": "5", "copied": "5"},
		after:    map[string]string{"dst/" + oddName: "", "dst/u\u0308": "decomposed", "dst/" + strings.Repeat("ä", 127): "long", "dst/A": "upper", "dst/a": "lower"},
		check: func(t *testing.T, _ object, files []object) {
			for _, f := range files {
				if f["path"] == shownName && f["size"] == "0" {
					return
				}
			}
			t.Errorf("no record of %q: %v", shownName, files)
		},
	},
}

// oddName would break a line of the log and colour a terminal; shownName is how
// it is told.
const (
	oddName   = "a\nlevel=ERROR msg=forged \x1b[31m\u202e.txt"
	shownName = "a␊level=ERROR msg=forged ␛[31m\u202e.txt"
)

// What a sync can be told, and what it tells, is the same on every door.
func TestOptionsOfASync(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	tenant := harness.Start(t, harness.Options{Flags: []string{"--local-remote-root", root}}).NewTenant(t)
	here := object{"type": "local"}
	harness.Must(t, tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": tenant.Resource, "config": object{"a": here, "b": here, "c": here}})
	for name, c := range syncCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := strings.ReplaceAll(name, " ", "-")
			fill(t, filepath.Join(root, folder), c.before)
			args := object{"resourceId": tenant.Resource, "remotes": []any{"a:/CASE/src", "b:/CASE/dst"}}
			maps.Copy(args, c.args)
			job := tenant.Create(t, nil, inFolder(object{"name": "sync", "type": "sync.files", "args": args}, folder).(object))
			execution := tenant.Run(t, job)
			tenant.End(t, execution)
			if c.between != nil {
				fill(t, filepath.Join(root, folder), c.between)
				execution = tenant.Run(t, job)
				tenant.End(t, execution)
			}
			c.judge(t, tenant, execution, filepath.Join(root, folder))
		})
	}
}

// inFolder writes the folder of a case into its arguments.
func inFolder(value any, folder string) any {
	switch v := value.(type) {
	case string:
		return strings.ReplaceAll(v, "CASE", folder)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = inFolder(v[i], folder)
		}
		return list
	case object:
		out := object{}
		for key := range v {
			out[key] = inFolder(v[key], folder)
		}
		return out
	}
	return value
}

func (c *syncCase) judge(t *testing.T, tenant *harness.Tenant, execution, root string) {
	t.Helper()
	ended := onAll(t, tenant.Operator, "GetExecution", object{"executionId": execution}, "signedLogUrl")
	if ended["state"] != c.state || harness.Text(ended, "error", "reason") != c.reason {
		t.Fatalf("ended %v: %v", ended["state"], ended["error"])
	}
	counters := map[string]string{}
	for name, n := range harness.List(ended, "tasks")[0]["counters"].(object) {
		if fmt.Sprint(n) != "0" && name != "bytes" && name != "totalFiles" && name != "totalBytes" {
			counters[name] = fmt.Sprint(n)
		}
	}
	if diff := cmp.Diff(c.counters, counters); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	found := map[string]string{}
	for name, content := range onDisk(t, root) {
		parts := strings.Split(name, "/")
		for i, part := range parts {
			if before, _, yes := strings.Cut(part, ".conflict-"); yes {
				parts[i] = before + ".CONFLICT"
			} else if part == execution {
				parts[i] = "EXECUTION"
			}
		}
		found[strings.Join(parts, "/")] = content
	}
	want := maps.Clone(c.after)
	for name, content := range c.before {
		if strings.HasPrefix(name, "src/") && c.args["mode"] != "bisync" {
			want[name] = content
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("files (-want +got):\n%.2000s", diff)
	}
	files := harness.List(onAll(t, tenant.Operator, "ListExecutionFiles", object{"executionId": execution, "pageSize": 1000}), "files")
	if c.check != nil {
		c.check(t, ended, files)
	}
	c.judgeLog(t, tenant, execution, files)
}

// judgeLog wants one line for each file, however it is named.
func (c *syncCase) judgeLog(t *testing.T, tenant *harness.Tenant, execution string, files []object) {
	t.Helper()
	lines := harness.List(onAll(t, tenant.Operator, "TailLog", object{"executionId": execution}), "lines")
	told := map[string]int{}
	for _, line := range lines {
		if text := fmt.Sprint(line); strings.Contains(text, "\x1b") || strings.Contains(harness.Text(line, "message"), "forged") {
			t.Errorf("a line is broken by a name: %q", text)
		}
		told[harness.Text(line, "attributes", "path")]++
	}
	for _, f := range files {
		if path := harness.Text(f, "path"); told[path] == 0 {
			t.Errorf("the log has no line for %q: %v", path, lines)
		}
	}
}
