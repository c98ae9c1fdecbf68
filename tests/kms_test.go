package tests

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/kmstest"
	"github.com/pointscene/carillon/tests/vaulttest"
)

// kmsService is a KMS as the program meets it.
type kmsService struct {
	address string
	env     []string
	secret  string
	stop    func()
}

// A keyset that a KMS wraps: an outage of it stops no job and no call, only a
// start and a change of the keyset.
func TestKMSOutage(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) kmsService{
		"Vault": func(t *testing.T) kmsService {
			v := vaulttest.Start(t)
			return kmsService{v.Address, v.Env, vaulttest.Token, v.Stop}
		},
		"AWS": func(t *testing.T) kmsService {
			s := kmstest.StartAWS(t)
			return kmsService{s.Address, s.Env, s.Secret, s.Stop}
		},
		"Google": func(t *testing.T) kmsService {
			s := kmstest.StartGoogle(t)
			return kmsService{s.Address, s.Env, s.Secret, s.Stop}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outage(t, start(t))
		})
	}
}

func outage(t *testing.T, kms kmsService) {
	t.Helper()
	server := harness.Start(t, harness.Options{Env: kms.env, Flags: []string{"--keyset-kms", kms.address}})
	tenant := server.NewTenant(t)
	if answer := adminText(t, server, "/metrics"); !strings.Contains(answer, "carillon_keyset_wrapped 1") {
		t.Error("the metric does not tell that the keyset is wrapped")
	}
	if strings.Contains(server.Log(), "unwrapped") || strings.Contains(adminText(t, server, "/healthz"), "warning") {
		t.Error("it warns of an unwrapped keyset")
	}
	fresh := keysCommand(t, server, "add")
	keysCommand(t, server, "promote", fresh)
	keysCommand(t, server, "rewrap")

	kms.stop()
	config := object{"s3": object{"type": "s3", "region": "r", "access_key_id": "a", "secret_access_key": "b", "provider": "Other"}}
	harness.Must(t, tenant.Operator.RESTDoor(), "AddConfig", object{"resourceId": tenant.Resource, "config": config})
	job := tenant.Create(t, object{}, harness.Noop("a"))
	if e := tenant.End(t, tenant.Run(t, job)); e["state"] != "SUCCEEDED" {
		t.Errorf("without the KMS an execution ends %v", e["state"])
	}
	if refusal := harness.Refused(t, tenant.Operator.GRPCDoor(), "AddKey", object{}); refusal.Code != "UNAVAILABLE" {
		t.Errorf("without the KMS a new key is %v", refusal)
	}
	server.Stop(t)
	result := harness.Run(t, kms.env, serve(server.DataDir, "--keyset-kms", kms.address)...)
	if result.Code != 1 || !strings.Contains(result.Stderr, "--keyset-kms") {
		t.Errorf("a start without the KMS ends with %d: %s", result.Code, result.Stderr)
	}
	if strings.Contains(result.Stderr+server.Log(), kms.secret) {
		t.Error("the log holds what opens the KMS")
	}
}

// A keyset of before is wrapped by one command, and is refused without its key.
func TestWrapCommand(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	vault := vaulttest.Start(t)
	server := harness.Start(t, harness.Options{Env: vault.Env})
	server.Stop(t)
	refusesToStart(t, 1, []string{"keys wrap"}, vault.Env, serve(server.DataDir, "--keyset-kms", vault.Address)...)
	if result := server.Command(t, "keys", "wrap", "--keyset-kms", vault.Address); result.Code != 0 {
		t.Fatalf("keys wrap ended with %d: %s", result.Code, result.Stderr)
	}
	refusesToStart(t, 1, []string{"--keyset-kms"}, nil, serve(server.DataDir)...)
	again := harness.Start(t, harness.Options{DataDir: server.DataDir, Env: vault.Env, Flags: []string{"--keyset-kms", vault.Address}})
	again.NewTenant(t)
}

func adminText(t *testing.T, server *harness.Server, path string) string {
	t.Helper()
	answer, err := http.Get("http://" + server.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
