package syncfiles

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/task"
)

func decode(t *testing.T, text string) task.Args {
	t.Helper()
	var args task.Args
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		t.Fatal(err)
	}
	return args
}

func TestRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args string
		want options
	}{
		"defaults": {`{"resourceId":"res_7","remotes":["a:/x","b:/y"]}`,
			options{resource: "res_7", places: []place{{"a", "/x"}, {"b", "/y"}}, mode: remote.Mirror, maxDelete: remote.DefaultDeleteLimit}},
		"everything": {`{"resourceId":7,"remotes":["a:x,y","b:/y:z","c-1_A:"],"mode":"copy","exclude":["sync/**","/a"],"include":["*.txt"],
			"maxDelete":"30%","dryRun":true,"checksum":true,"transfers":8,"bandwidth":"2M"}`,
			options{resource: "7", places: []place{{"a", "x,y"}, {"b", "/y:z"}, {"c-1_A", ""}}, mode: remote.Copy,
				exclude: []string{"sync/**", "/a"}, include: []string{"*.txt"}, maxDelete: remote.DeleteLimit{Amount: 30, Percent: true},
				dryRun: true, checksum: true, transfers: 8, bandwidth: 2 << 20}},
		"nulls": {`{"resourceId":"7","remotes":["a:/x","b:/y"],"mode":null,"exclude":null,"maxDelete":null,"bandwidth":null,"transfers":null}`,
			options{resource: "7", places: []place{{"a", "/x"}, {"b", "/y"}}, mode: remote.Mirror, maxDelete: remote.DefaultDeleteLimit}},
		"the work directory": {`{"resourceId":"7","remotes":["@work:/in","b:/y"]}`,
			options{resource: "7", places: []place{{"@work", "/in"}, {"b", "/y"}}, mode: remote.Mirror, maxDelete: remote.DefaultDeleteLimit}},
		"one remote twice, side by side": {`{"resourceId":"7","remotes":["a:/x","a:/xy"],"maxDelete":0}`,
			options{resource: "7", places: []place{{"a", "/x"}, {"a", "/xy"}}, mode: remote.Mirror}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := read(decode(t, test.args), "resourceId")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got, cmp.AllowUnexported(options{}, place{})); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	with := func(extra string) string { return `{"resourceId":"7","remotes":["a:/x","b:/y"]` + extra + `}` }
	remotes := func(list string) string { return `{"resourceId":"7","remotes":` + list + `}` }
	tests := map[string]struct {
		args string
		want []string
	}{
		"nothing":             {`{}`, []string{"remotes REQUIRED", "resourceId REQUIRED"}},
		"one remote":          {remotes(`["a:/x"]`), []string{"remotes TOO_FEW_REMOTES"}},
		"one as a string":     {remotes(`"a:/x"`), []string{"remotes TOO_FEW_REMOTES"}},
		"none":                {remotes(`[]`), []string{"remotes REQUIRED"}},
		"too many":            {remotes(`[` + strings.Repeat(`"a:/x",`, 20) + `"b:/y"]`), []string{"remotes TOO_MANY_REMOTES"}},
		"not text":            {remotes(`["a:/x",7]`), []string{"remotes[1] WRONG_TYPE"}},
		"path only":           {remotes(`["/x","b:/y"]`), []string{"remotes[0] INVALID_REMOTE"}},
		"no work directory":   {remotes(`["@work2:/x","@wor:/y"]`), []string{"remotes[0] INVALID_REMOTE", "remotes[1] INVALID_REMOTE"}},
		"no name":             {remotes(`["a:/x",":/y"]`), []string{"remotes[1] INVALID_REMOTE"}},
		"connection string":   {remotes(`["a:/x",":local:/etc"]`), []string{"remotes[1] INVALID_REMOTE"}},
		"backend with option": {remotes(`["a:/x",":s3,env_auth=true:bkt"]`), []string{"remotes[1] INVALID_REMOTE"}},
		"name with option":    {remotes(`["a,env_auth=true:/x","b:/y"]`), []string{"remotes[0] INVALID_REMOTE"}},
		"parent":              {remotes(`["a:/x/../../y","b:.."]`), []string{"remotes[0] INVALID_REMOTE", "remotes[1] INVALID_REMOTE"}},
		"NUL":                 {remotes(`["a:/x\u0000","b:/y\n"]`), []string{"remotes[0] INVALID_REMOTE", "remotes[1] INVALID_REMOTE"}},
		"long path":           {remotes(`["a:/` + strings.Repeat("x", 5000) + `","b:/y"]`), []string{"remotes[0] INVALID_REMOTE"}},
		"overlap":             {remotes(`["a:/x","b:/y","a:/x/z"]`), []string{"remotes[2] REMOTES_OVERLAP"}},
		"overlap of targets":  {remotes(`["a:/x","b:/y/z","b:y"]`), []string{"remotes[2] REMOTES_OVERLAP"}},
		"unknown mode":        {with(`,"mode":"move"`), []string{"mode INVALID_VALUE"}},
		"empty mode":          {with(`,"mode":""`), []string{"mode INVALID_VALUE"}},
		"mode of wrong type":  {with(`,"mode":1`), []string{"mode WRONG_TYPE"}},
		"unknown argument":    {with(`,"maxDeletes":1`), []string{"maxDeletes UNKNOWN_FIELD"}},
		"bad limits":          {with(`,"maxDelete":"200%","transfers":0,"bandwidth":"fast"`), []string{"transfers OUT_OF_RANGE", "maxDelete INVALID_VALUE", "bandwidth INVALID_VALUE"}},
		"bad patterns":        {with(`,"exclude":["ok","a["],"include":[""]`), []string{"exclude[1] INVALID_PATTERN", "include[0] INVALID_PATTERN"}},
		"patterns that grow":  {with(`,"exclude":["{{` + strings.Repeat("a{1000}", 100) + `}}"],"include":["a/[b/c]"]`), []string{"exclude INVALID_PATTERN", "include[0] INVALID_PATTERN"}},
		"resource":            {`{"resourceId":1.5,"remotes":["a:/x","b:/y"]}`, []string{"resourceId WRONG_TYPE"}},
		"spelling of another": {`{"id":"7","remotes":["a:/x","b:/y"]}`, []string{"id UNKNOWN_FIELD", "resourceId REQUIRED"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := check("sync.files", decode(t, test.args))
			if diff := cmp.Diff(test.want, violations(err)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func check(name string, args task.Args) error {
	return task.NewRegistry(Types(nil)...).Check(name, args)
}

func violations(err error) []string {
	var invalid *job.InvalidError
	if !errors.As(err, &invalid) {
		return nil
	}
	var got []string
	for _, v := range invalid.Violations {
		got = append(got, v.Field+" "+v.Reason)
	}
	return got
}

func TestResources(t *testing.T) {
	t.Parallel()
	byName := map[string]task.Type{}
	for _, typ := range Types(nil) {
		byName[typ.Name()] = typ
	}
	tests := []struct {
		typ, args string
		want      []task.ResourceRef
	}{
		{"sync.files", `{"resourceId":"res_7"}`, []task.ResourceRef{{Path: "resourceId", ID: "res_7"}}},
		{"sync.files", `{"resourceId":7}`, []task.ResourceRef{{Path: "resourceId", ID: "7"}}},
		{"sync.files", `{"id":7}`, nil},
		{"rclone.sync", `{"id":7}`, []task.ResourceRef{{Path: "id", ID: "7"}}},
		{"resource.input", `{"id":"7"}`, []task.ResourceRef{{Path: "id", ID: "7"}}},
		{"resource.input", `{"id":["7"]}`, nil},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, byName[test.typ].Resources(decode(t, test.args))); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", test.typ, test.args, diff)
		}
	}
}

func FuzzParsePlace(f *testing.F) {
	for _, seed := range []string{"a:/x", "a:", ":s3,x=y:b", "a:b:c", "a:../x", "a:x/..", "a:\x00", "é:/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, why := parsePlace(text)
		if why != "" {
			return
		}
		if p.String() != text {
			t.Errorf("%q became %q", text, p)
		}
		if strings.ContainsAny(p.name, ":,./") || p.name == "" {
			t.Errorf("%q has the name %q", text, p.name)
		}
		for _, part := range strings.Split(p.path, "/") {
			if part == ".." {
				t.Errorf("%q leads up", text)
			}
		}
	})
}
