package harness

import (
	"net/url"
	"path/filepath"
	"slices"
	"testing"
)

// StartReplicas migrates a PostgreSQL database and starts processes that share
// it, its keyset and its log store, as they must.
func StartReplicas(t testing.TB, count int, database string, o Options) []*Server {
	t.Helper()
	migrated := Run(t, nil, "migrate", "--database-url", database)
	if migrated.Code != 0 {
		t.Fatalf("carillon migrate ended with %d: %s", migrated.Code, migrated.Stderr)
	}
	o.Flags = replicaFlags(t, database, o.Flags)
	var replicas []*Server
	for range count {
		o.DataDir = ""
		replicas = append(replicas, Start(t, o))
	}
	return replicas
}

// LaunchReplicas starts processes at the same moment, whatever the database has
// and lacks; none need be ready.
func LaunchReplicas(t testing.TB, count int, database string, o Options) []*Server {
	t.Helper()
	o.Flags = replicaFlags(t, database, o.Flags)
	var replicas []*Server
	for range count {
		o.DataDir = t.TempDir()
		o.Dir = o.DataDir
		replicas = append(replicas, launch(t, o))
	}
	for _, s := range replicas {
		t.Cleanup(func() { s.finish(t) })
	}
	return replicas
}

// Beside starts another replica, with further flags.
func (s *Server) Beside(t testing.TB, flags ...string) *Server {
	t.Helper()
	o := s.options
	o.DataDir, o.Dir, o.Flags = "", "", slices.Concat(o.Flags, flags)
	return Start(t, o)
}

// replicaFlags are those by which replicas share what they must, and more.
func replicaFlags(t testing.TB, database string, more []string) []string {
	shared := t.TempDir()
	logs := url.URL{Scheme: "file", Path: filepath.Join(shared, "logs")}
	return append([]string{
		"--database-url", database, "--keyset", filepath.Join(shared, "keys", "keyset.json"),
		"--log-store", logs.String(), "--public-url", "http://carillon.example.com",
	}, more...)
}
