package tests

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// command runs a program that a backup needs.
func command(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// need finds a program; CI must have it.
func need(t *testing.T, program string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program); len(found) > 0 {
		return found[len(found)-1]
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("LEFT OUT: no %s", program)
	}
	t.Skipf("LEFT OUT: no %s", program)
	return ""
}

// drill makes a history, backs the service up while it runs, and wants all of
// it in the restored copy, which must go on.
func drill(t *testing.T, original *harness.Server, backup func(), restore func() *harness.Server) {
	t.Helper()
	tenant := original.NewTenant(t)
	job := tenant.Create(t, object{"name": "kept"}, harness.Sleep("a", 1))
	first := tenant.Run(t, job)
	ended := tenant.End(t, first)
	door := tenant.Operator.GRPCDoor()
	harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{"store": object{
		"type": "s3", "provider": "Minio", "access_key_id": "key", "secret_access_key": "secret",
	}}})
	log := harness.Must(t, door, "TailLog", object{"executionId": first})
	lost := tenant.Run(t, tenant.Create(t, nil, harness.Sleep("b", 3600e9)))
	tenant.Reaches(t, lost, func(e object) bool { return e["state"] == "RUNNING" })
	backup()
	original.Kill(t)

	copied := restore()
	healthy(t, copied)
	again := *tenant
	again.Server, again.Operator = copied, copied.As(copied.Token(t, "operator"))
	door = again.Operator.GRPCDoor()
	now := harness.Must(t, door, "GetExecution", object{"executionId": first})
	forget(now, "signedLogUrl")
	forget(ended, "signedLogUrl")
	if diff := cmp.Diff(ended, now); diff != "" {
		t.Errorf("the execution (-before +restored):\n%s", diff)
	}
	if diff := cmp.Diff(log, harness.Must(t, door, "TailLog", object{"executionId": first})); diff != "" {
		t.Errorf("its log (-before +restored):\n%s", diff)
	}
	if config := harness.Must(t, door, "GetConfig", object{"resourceId": tenant.Resource}); len(harness.List(config, "remotes")) != 1 {
		t.Errorf("the config is %v", config)
	}
	if e := again.End(t, lost); e["state"] != "WORKER_LOST" {
		t.Errorf("what ran during the backup ended %v", e["state"])
	}
	if e := again.End(t, again.Run(t, job)); e["state"] != "SUCCEEDED" {
		t.Errorf("the job does not run any more: %v", e)
	}
	healthy(t, copied)
}

func TestBackupOfSQLite(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	sqlite := need(t, "sqlite3")
	original := harness.Start(t, harness.Options{})
	folder := filepath.Join(t.TempDir(), "restored")
	drill(t, original, func() {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		command(t, sqlite, filepath.Join(original.DataDir, "carillon.db"), ".backup "+filepath.Join(folder, "carillon.db"))
		command(t, "cp", "-a", filepath.Join(original.DataDir, "keys"), filepath.Join(original.DataDir, "logs"), folder)
	}, func() *harness.Server {
		return harness.Start(t, harness.Options{DataDir: folder})
	})
}

func TestBackupOfPostgreSQL(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	database, empty := pgtest.Open(t), pgtest.Open(t)
	dump, restore := need(t, "pg_dump"), need(t, "pg_restore")
	folder := t.TempDir()
	flags := func(database, folder string) []string {
		logs := url.URL{Scheme: "file", Path: filepath.Join(folder, "logs")}
		return []string{"--database-url", database, "--keyset", filepath.Join(folder, "keys", "keyset.json"), "--log-store", logs.String()}
	}
	shared := t.TempDir()
	original := harness.Start(t, harness.Options{Flags: append(flags(database, shared), "--migrate")})
	drill(t, original, func() {
		file := filepath.Join(folder, "carillon.dump")
		command(t, dump, "--format=custom", "--file", file, database)
		command(t, "cp", "-a", filepath.Join(shared, "keys"), filepath.Join(shared, "logs"), folder)
		command(t, restore, "--no-owner", "--exit-on-error", "--dbname", empty, file)
	}, func() *harness.Server {
		return harness.Start(t, harness.Options{Flags: flags(empty, folder)})
	})
}
