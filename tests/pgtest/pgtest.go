// Package pgtest gives tests a PostgreSQL database of their own.
//
// Rules:
//   - The server is the one that CARILLON_TEST_POSTGRES_URL names. `make test`
//     sets it by running the tests under cmd/withpg, which starts a private
//     cluster when the variable is empty.
//   - Without a server a test is skipped, and fails when CI=true: CI never
//     leaves PostgreSQL out.
//   - A test that halts the server has a cluster of its own, by [Own].
//   - Each call of [Open] makes a new database and drops it at the end of the
//     test, so tests run in parallel and leave nothing behind.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvURL names the environment variable with the server's URL. Its user must
// be allowed to create databases.
const EnvURL = "CARILLON_TEST_POSTGRES_URL"

// Open creates an empty database and returns its URL. The database is dropped
// when the test ends, with the connections that are still open.
func Open(t testing.TB) string {
	t.Helper()
	server := os.Getenv(EnvURL)
	if server == "" {
		leaveOut(t)
		return ""
	}
	address, err := url.Parse(server)
	if err != nil {
		t.Fatalf("pgtest: %s is not a URL", EnvURL) // not the text: it may hold a password
	}
	name := "carillon_test_" + strings.ToLower(rand.Text())
	execute(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	address.Path = "/" + name
	return address.String()
}

// Own starts a cluster for one test, which may halt it, and removes it when the
// test ends.
func Own(t testing.TB) *Cluster {
	t.Helper()
	cluster, err := StartCluster(context.Background(), Throwaway)
	if errors.Is(err, ErrNoServer) {
		leaveOut(t)
		return nil
	}
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Errorf("pgtest: stop the cluster: %v", err)
		}
	})
	return cluster
}

// leaveOut ends the test because there is no server.
func leaveOut(t testing.TB) {
	t.Helper()
	const message = "LEFT OUT: no PostgreSQL; run `make test`, or set " + EnvURL
	if os.Getenv("CI") == "true" {
		t.Fatal("pgtest: " + message)
	}
	t.Skip("pgtest: " + message)
}

// execute runs one statement on a connection of its own. It does not use the
// test's context, which has ended when clean-ups run.
func execute(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("pgtest: connect: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("pgtest: %s: %v", statement, err)
	}
}
