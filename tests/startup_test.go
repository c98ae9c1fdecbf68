package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// refusesToStart wants a command to end with the code and a message that holds
// every word.
func refusesToStart(t *testing.T, code int, words []string, env []string, args ...string) {
	t.Helper()
	result := harness.Run(t, env, args...)
	if result.Code != code {
		t.Errorf("carillon %s ended with %d, want %d\n%s", strings.Join(args, " "), result.Code, code, result.Stderr)
	}
	last := strings.TrimSpace(result.Stderr)
	for _, word := range words {
		if !strings.Contains(last, word) {
			t.Errorf("carillon %s does not name %s:\n%s", strings.Join(args, " "), word, last)
		}
	}
	if strings.Contains(last, "hunter2") {
		t.Errorf("carillon %s tells the password:\n%s", strings.Join(args, " "), last)
	}
	if strings.Contains(last, "panic") || strings.Contains(last, "goroutine") {
		t.Errorf("carillon %s says:\n%s", strings.Join(args, " "), last)
	}
}

// serve are the flags of a server on free ports.
func serve(dataDir string, more ...string) []string {
	return append([]string{"serve", "--data-dir", dataDir, "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, more...)
}

// A wrong setting is told by its name before anything is made.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	for name, c := range map[string]struct {
		code        int
		flags, env  []string
		config      string
		words       []string
		keepsFolder bool
	}{
		"address of the world":       {code: 2, flags: []string{"--http-addr", "0.0.0.0:0"}, words: []string{"--http-addr", "0.0.0.0:0", "loopback"}},
		"certificate without a key":  {code: 2, flags: []string{"--tls-cert", "c.pem"}, words: []string{"--tls-cert", "--tls-key"}},
		"client CA without TLS":      {code: 2, flags: []string{"--client-ca", "c.pem"}, words: []string{"--client-ca", "--tls-cert"}},
		"scopes of no certificate":   {code: 2, flags: []string{"--client-cert-scopes", "a=everything"}, words: []string{"--client-cert-scopes", "everything"}},
		"issuer without audience":    {code: 2, flags: []string{"--oidc-issuer", "https://login.example.com"}, words: []string{"--oidc-audience"}},
		"issuer in plain text":       {code: 2, flags: []string{"--oidc-issuer", "http://login.example.com", "--oidc-audience", "a"}, words: []string{"--oidc-issuer", "https"}},
		"no KMS":                     {code: 2, flags: []string{"--keyset-kms", "vault"}, words: []string{"--keyset-kms", "hcvault://"}},
		"address of any interface":   {code: 2, flags: []string{"--grpc-addr", ":0"}, words: []string{"--grpc-addr"}},
		"address without a port":     {code: 2, flags: []string{"--admin-addr", "localhost"}, words: []string{"--admin-addr"}},
		"role":                       {code: 2, flags: []string{"--roles", "api,cook"}, words: []string{"--roles", "cook", "ticker"}},
		"facade without an API":      {code: 2, flags: []string{"--roles", "facade"}, words: []string{"--api-addr"}},
		"facade named twice":         {code: 2, flags: []string{"--roles", "facade,facade"}, words: []string{"--api-addr"}},
		"roles that SQLite can't":    {code: 2, flags: []string{"--roles", "api"}, words: []string{"--roles", "PostgreSQL"}},
		"demo without a folder":      {code: 2, flags: []string{"--demo"}, words: []string{"--demo", "--local-remote-root"}},
		"retention":                  {code: 2, flags: []string{"--history-retention", "59m"}, words: []string{"--history-retention", "1h"}},
		"time for an approval":       {code: 2, flags: []string{"--approval-timeout", "0s"}, words: []string{"--approval-timeout", "1s"}},
		"negative drain":             {code: 2, flags: []string{"--drain-timeout", "-1s"}, words: []string{"--drain-timeout"}},
		"egress":                     {code: 2, flags: []string{"--egress-allow", "10.0.0.0/33"}, words: []string{"--egress-allow"}},
		"public URL":                 {code: 2, flags: []string{"--public-url", "example.com"}, words: []string{"--public-url"}},
		"two at once":                {code: 2, flags: []string{"--drain-timeout", "-1s", "--public-url", "x"}, words: []string{"--drain-timeout", "--public-url"}},
		"unknown flag":               {code: 2, flags: []string{"--colour", "red"}, words: []string{"--colour"}},
		"value of a flag":            {code: 2, flags: []string{"--drain-timeout", "soon"}, words: []string{"--drain-timeout", "soon"}},
		"environment":                {code: 2, env: []string{"CARILLON_DRAIN_TIMEOUT=soon"}, words: []string{"CARILLON_DRAIN_TIMEOUT", "soon"}},
		"environment out of range":   {code: 2, env: []string{"CARILLON_HISTORY_RETENTION=1m"}, words: []string{"--history-retention"}},
		"environment of a boolean":   {code: 2, env: []string{"CARILLON_MIGRATE=perhaps"}, words: []string{"CARILLON_MIGRATE", "perhaps"}},
		"no config file":             {code: 2, flags: []string{"--config", "/nowhere.yaml"}, words: []string{"--config", "/nowhere.yaml"}},
		"config that is no YAML":     {code: 2, config: "a: [", words: []string{"--config"}},
		"config with an unknown key": {code: 2, config: "drain-timeout: 1s\ncolour: red\n", words: []string{"--config", "line 2", "colour"}},
		"config with a wrong value":  {code: 2, config: "drain-timeout: soon\n", words: []string{"--config", "line 1", "drain-timeout"}},
		"log level":                  {code: 2, flags: []string{"--log-level", "loud"}, words: []string{"--log-level", "loud"}},
		"log format":                 {code: 2, flags: []string{"--log-format", "xml"}, words: []string{"--log-format", "xml"}},
		"database of another make":   {code: 2, flags: []string{"--database-url", "mysql://u@h/d"}, words: []string{"--database-url", "postgres"}},
		"database that is away":      {code: 1, flags: []string{"--database-url", "postgres://u:hunter2@127.0.0.1:1/d"}, words: []string{"--database-url"}, keepsFolder: true},
		"log store of another make":  {code: 2, flags: []string{"--log-store", "ftp://h/x"}, words: []string{"--log-store"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "data")
			args := serve(folder, c.flags...)
			if c.config != "" {
				file := filepath.Join(t.TempDir(), "carillon.yaml")
				if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", file)
			}
			refusesToStart(t, c.code, c.words, c.env, args...)
			if _, err := os.Stat(folder); !os.IsNotExist(err) && !c.keepsFolder {
				t.Errorf("it made its data folder before it refused (%v)", err)
			}
		})
	}
}

// A start that would lose or share what it must not is refused.
func TestWrongSurroundings(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	server.NewTenant(t)

	t.Run("data folder of a running server", func(t *testing.T) {
		refusesToStart(t, 1, []string{"--data-dir", server.DataDir, "another running"}, nil, serve(server.DataDir)...)
	})
	t.Run("port in use", func(t *testing.T) {
		refusesToStart(t, 1, []string{"--http-addr", server.HTTP}, nil, serve(t.TempDir(), "--http-addr", server.HTTP)...)
	})
	t.Run("data folder that is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refusesToStart(t, 1, []string{"--data-dir"}, nil, serve(file)...)
	})
	t.Run("database that is none", func(t *testing.T) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "carillon.db"), []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
			t.Fatal(err)
		}
		refusesToStart(t, 1, []string{"--database-url"}, nil, serve(folder)...)
	})
	server.Stop(t)
	keyset := filepath.Join(server.DataDir, "keys", "keyset.json")
	t.Run("keyset that others may read", func(t *testing.T) {
		if err := os.Chmod(keyset, 0o644); err != nil {
			t.Fatal(err)
		}
		refusesToStart(t, 1, []string{"--keyset", "0644", "chmod 600"}, nil, serve(server.DataDir)...)
		refusesToStart(t, 1, []string{"--keyset", "0644", "chmod 600"}, nil, "token", "--scope", "operator", "--data-dir", server.DataDir)
	})
	t.Run("keyset missing", func(t *testing.T) {
		if err := os.Rename(keyset, keyset+".away"); err != nil {
			t.Fatal(err)
		}
		refusesToStart(t, 1, []string{"--keyset", keyset}, nil, serve(server.DataDir)...)
		if _, err := os.Stat(keyset); !os.IsNotExist(err) {
			t.Error("a new keyset was made: what the old one sealed is lost")
		}
		refusesToStart(t, 1, []string{"--keyset", keyset}, nil, "token", "--scope", "operator", "--data-dir", server.DataDir)
	})
	t.Run("keyset of another database", func(t *testing.T) {
		other := harness.Start(t, harness.Options{})
		refusesToStart(t, 1, []string{"--keyset"}, nil, serve(server.DataDir, "--keyset", filepath.Join(other.DataDir, "keys", "keyset.json"))...)
	})
	t.Run("keyset that is none", func(t *testing.T) {
		if err := os.WriteFile(keyset, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		refusesToStart(t, 1, []string{"--keyset", keyset}, nil, serve(server.DataDir)...)
	})
	t.Run("keyset back again", func(t *testing.T) {
		if err := os.Chmod(keyset+".away", 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(keyset+".away", keyset); err != nil {
			t.Fatal(err)
		}
		server.Again(t)
	})
}

// PostgreSQL is migrated when told to, and all replicas need one keyset.
func TestStartOnPostgres(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	database := pgtest.Open(t)
	folder := t.TempDir()
	refusesToStart(t, 1, []string{"carillon migrate", "--migrate"}, nil, serve(folder, "--database-url", database)...)
	migrated := harness.Run(t, nil, "migrate", "--database-url", database)
	if migrated.Code != 0 || !strings.Contains(migrated.Stdout, "applied") {
		t.Fatalf("carillon migrate ended with %d: %s%s", migrated.Code, migrated.Stdout, migrated.Stderr)
	}
	if again := harness.Run(t, nil, "migrate", "--database-url", database); again.Code != 0 || !strings.Contains(again.Stdout, "nothing to do") {
		t.Errorf("a second time it ended with %d: %s%s", again.Code, again.Stdout, again.Stderr)
	}
	server := harness.Start(t, harness.Options{DataDir: folder, Flags: []string{"--database-url", database}})
	server.NewTenant(t)
	refusesToStart(t, 1, []string{"--keyset"}, nil, serve(t.TempDir(), "--database-url", database)...)
}

// Flag beats environment beats file beats default.
func TestPrecedenceOfSettings(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	file := filepath.Join(t.TempDir(), "carillon.yaml")
	if err := os.WriteFile(file, []byte("log-format: json\nlog-level: error\negress-allow: [10.0.0.0/8, 127.0.0.0/8]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	isJSON := func(s *harness.Server) bool {
		line, _, _ := strings.Cut(s.Log(), "\n")
		return json.Valid([]byte(line)) && line != ""
	}
	byFile := harness.Start(t, harness.Options{Flags: []string{"--config", file, "--log-level", "info"}})
	if !isJSON(byFile) {
		t.Errorf("the file is not heard, or the flag does not beat it: %s", byFile.Log())
	}
	byEnv := harness.Start(t, harness.Options{Flags: []string{"--config", file}, Env: []string{"CARILLON_LOG_FORMAT=text", "CARILLON_LOG_LEVEL=info"}})
	if isJSON(byEnv) || byEnv.Log() == "" {
		t.Errorf("the environment does not beat the file: %s", byEnv.Log())
	}
	byFlag := harness.Start(t, harness.Options{Flags: []string{"--log-format", "json"}, Env: []string{"CARILLON_LOG_FORMAT=text"}})
	if !isJSON(byFlag) {
		t.Errorf("the flag does not beat the environment: %s", byFlag.Log())
	}
	fileFromEnv := harness.Start(t, harness.Options{Flags: []string{"--log-level", "info"}, Env: []string{"CARILLON_CONFIG=" + file}})
	if !isJSON(fileFromEnv) {
		t.Errorf("CARILLON_CONFIG is not heard: %s", fileFromEnv.Log())
	}
}

// The other commands say what is wrong, too.
func TestCommands(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	for _, c := range []struct {
		code  int
		words []string
		args  []string
	}{
		{1, []string{"--keyset", "--data-dir"}, []string{"token", "--scope", "operator", "--data-dir", filepath.Join(t.TempDir(), "nothing")}},
		{2, []string{"--scope"}, []string{"token", "--data-dir", server.DataDir}},
		{2, []string{"--scope", "everything"}, []string{"token", "--scope", "everything"}},
		{2, []string{"--ttl", "token lives"}, []string{"token", "--scope", "operator", "--ttl", "10000h"}},
		{2, []string{"--database-url", "postgres://"}, []string{"migrate", "--database-url", "mysql://u:hunter2@h/d"}},
		{2, []string{"--database-url", "postgres://"}, []string{"doctor", "--database-url", "mysql://u:hunter2@h/d"}},
		{2, []string{"--keyset-kms", "hcvault://"}, []string{"keys", "list", "--keyset-kms", "vault"}},
		{2, []string{"--colour"}, []string{"migrate", "--colour"}},
		{2, []string{"frobnicate"}, []string{"frobnicate"}},
	} {
		refusesToStart(t, c.code, c.words, nil, c.args...)
	}
	same := []string{"--data-dir", server.DataDir, "--database-url", "file:x", "--keyset", "x"}
	if version := harness.Run(t, nil, append([]string{"version"}, same...)...); version.Code != 0 || strings.TrimSpace(version.Stdout) == "" {
		t.Errorf("carillon version ended with %d and %q", version.Code, version.Stdout)
	}
	if help := harness.Run(t, nil, "--help"); help.Code != 0 || !strings.Contains(help.Stdout, "serve") {
		t.Errorf("carillon --help ended with %d and %q", help.Code, help.Stdout)
	}
}
