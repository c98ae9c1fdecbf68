package harness

import (
	"net/url"
	"path/filepath"
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
	shared := t.TempDir()
	logs := url.URL{Scheme: "file", Path: filepath.Join(shared, "logs")}
	flags := append([]string{
		"--database-url", database, "--keyset", filepath.Join(shared, "keys", "keyset.json"),
		"--log-store", logs.String(), "--public-url", "http://carillon.example.com",
	}, o.Flags...)
	var replicas []*Server
	for range count {
		each := o
		each.DataDir, each.Flags = "", flags
		replicas = append(replicas, Start(t, each))
	}
	return replicas
}
