package remote

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/rc"

	"github.com/pointscene/carillon/server/internal/mask"
)

// Two tenants whose remotes have the same names, at the same time.
func TestSameNamesDoNotCross(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	const rounds = 8
	var running sync.WaitGroup
	for _, tenant := range []string{"red", "blue"} {
		server := startS3(t, "AKID"+tenant, testSecret+tenant, "bkt")
		for i := range 20 {
			server.put(t, "bkt", fmt.Sprintf("src/%s-%d", tenant, i), tenant)
		}
		running.Go(func() {
			for round := range rounds {
				log := &safeBuffer{}
				s := b.Begin(t.Context(), SessionOptions{ID: fmt.Sprint(t.Name(), tenant, round), Log: slog.New(slog.NewTextHandler(log, nil))})
				cfg := server.config("cloud", "AKID"+tenant, testSecret+tenant)
				from, err := s.Open(cfg, "/bkt/src")
				if err != nil {
					t.Error(err)
					return
				}
				to, err := s.Open(local("disk"), fmt.Sprintf("/%s/%d", tenant, round))
				if err != nil {
					t.Error(err)
					return
				}
				result, err := s.Sync(Request{Source: from, Dest: to, Mode: Mirror})
				if err != nil || result.Copied != 20 {
					t.Errorf("%s: %+v, %v", tenant, result, err)
				}
				s.Close()
			}
			if n := server.refused.Load(); n != 0 {
				t.Errorf("%s: %d requests with foreign credentials", tenant, n)
			}
		})
	}
	running.Wait()
	for name, content := range read(t, b.root) {
		if tenant, _, _ := strings.Cut(name, "/"); content != tenant || !strings.Contains(filepath.Base(name), tenant) {
			t.Errorf("%s holds %q", name, content)
		}
	}
}

// The library's lines go to the log of the session that caused them.
func TestLogsDoNotMix(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	logs := map[string]*safeBuffer{"red": {}, "blue": {}}
	var running sync.WaitGroup
	for name, log := range logs {
		files{"f": "1"}.write(t, filepath.Join(b.root, name, "src"))
		running.Go(func() {
			s := b.Begin(t.Context(), SessionOptions{ID: t.Name() + name, Log: slog.New(slog.NewTextHandler(log, nil))})
			defer s.Close()
			from, _ := s.Open(local("a"), "/"+name+"/src")
			to, _ := s.Open(local("b"), "/"+name+"/dst")
			for i := range 20 {
				fs.LogfCtx(s.ctx, fmt.Sprintf("%s-%d", name, i), "as a backend says it")
			}
			if _, err := s.Sync(Request{Source: from, Dest: to, Mode: Mirror}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for name, other := range map[string]string{"red": "blue", "blue": "red"} {
		text := logs[name].String()
		if strings.Count(text, name+"-") != 20 || strings.Contains(text, other) {
			t.Errorf("log of %s has %d of 20 lines, or foreign ones:\n%s", name, strings.Count(text, name+"-"), text)
		}
	}
}

func TestLinesWithoutASessionAreMasked(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	s := b.session(t.Context(), t)
	s.mask.add("SECRETVALUE/+1")
	fs.Errorf("object SECRETVALUE/+1", "token SECRETVALUE%%2F%%2B1 at https://h/p?sig=%s", "abc")
	text := b.log.String()
	if !strings.Contains(text, "token [masked] at https://h/p?[masked]") || strings.Contains(text, "SECRETVALUE") {
		t.Errorf("log is %q", text)
	}
}

func TestMasker(t *testing.T) {
	t.Parallel()
	var m masker
	m.add(`pa"ss wörd/+`)
	m.add(`{"access_token":"ACCESS-TOKEN","refresh_token":"REFRESH-TOKEN","expires_in":5}`)
	m.add("abc") // too short to hide without destroying the text
	for text, want := range map[string]string{
		`plain pa"ss wörd/+ x`:                       "plain [masked] x",
		`json pa\"ss wörd/+ x`:                       "json [masked] x",
		"query pa%22ss+w%C3%B6rd%2F%2B x":            "query [masked] x",
		"base64 cGEic3Mgd8O2cmQvKw== x":              "base64 [masked] x",
		"ACCESS-TOKEN and REFRESH-TOKEN":             "[masked] and [masked]",
		"abcdef":                                     "abcdef",
		`Get "https://h/p?X-Sig=1&b=2": refused`:     `Get "https://h/p?[masked]": refused`,
		"http://h/p is fine? yes":                    "http://h/p is fine? yes",
		"two https://a/?x=1 and https://b/c?y=2 end": "two https://a/?[masked] and https://b/c?[masked] end",
	} {
		if got := m.text(text); got != want {
			t.Errorf("text(%q) = %q, want %q", text, got, want)
		}
	}
}

// Neither errors, nor events, nor logs hold a secret, whatever goes wrong.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	files{"a": "1"}.write(t, b.root+"/src")
	echo := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		// A server that tells back what it was told.
		http.Error(w, "<Error><Code>Broken</Code><Message>"+testSecret+" "+r.URL.String()+"</Message></Error>", http.StatusTeapot)
		return true
	}
	server.intercept.Store(&echo)
	s := b.session(t.Context(), t)
	_, events, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/x"), nil)
	wantReason(t, err, ReasonFilesFailed)
	for what, text := range map[string]string{"error": err.Error(), "events": fmt.Sprint(events), "log": b.log.String()} {
		if strings.Contains(text, testSecret) {
			t.Errorf("%s: %s", what, text)
		}
	}
	if !strings.Contains(err.Error(), mask.Replacement) {
		t.Errorf("the error lost the server's message: %v", err)
	}
}

func TestPassingFaultsAreTriedAgain(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	files{"a": "1", "b": "2"}.write(t, b.root+"/src")
	var mu sync.Mutex
	faults := map[string]int{http.MethodGet: 1, http.MethodPut: 1}
	flaky := func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if faults[r.Method] == 0 {
			return false
		}
		faults[r.Method]--
		http.Error(w, "<Error><Code>Oops</Code></Error>", http.StatusConflict)
		return true
	}
	server.intercept.Store(&flaky)
	s := b.session(t.Context(), t)
	result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/x"), nil)
	if err != nil || result.Copied != 2 || result.Failed != 0 {
		t.Fatalf("%+v, %v; want both copied at the second try", result, err)
	}
}

func TestSessionLeavesNoCountersBehind(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	if _, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst"), nil); err != nil {
		t.Fatal(err)
	}
	groups := func() []string {
		out, err := rc.Calls.Get("core/group-list").Fn(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return out["groups"].([]string)
	}
	if !slices.Contains(groups(), s.id) {
		t.Errorf("no counters for %s among %v", s.id, groups())
	}
	s.Close()
	if slices.Contains(groups(), s.id) {
		t.Errorf("counters of %s are still there", s.id)
	}
}

func TestSettingsOfASession(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	for _, test := range []struct {
		o         SessionOptions
		transfers int
		perFile   fs.SizeSuffix
	}{
		{SessionOptions{}, DefaultTransfers, 0},
		{SessionOptions{Transfers: 1000}, MaxTransfers, 0},
		{SessionOptions{Bandwidth: 8 << 20}, DefaultTransfers, 2 << 20},
		{SessionOptions{Bandwidth: MinBandwidth, Transfers: 8}, 1, MinBandwidth},
	} {
		test.o.ID, test.o.Log = t.Name(), slog.New(slog.DiscardHandler)
		s := b.Begin(t.Context(), test.o)
		ci := fs.GetConfig(s.ctx)
		if ci.Transfers != test.transfers || test.perFile != 0 && ci.BwLimitFile.LimitAt(time.Now()).Bandwidth.Tx != test.perFile {
			t.Errorf("%+v: %d transfers at %v", test.o, ci.Transfers, ci.BwLimitFile)
		}
		s.Close()
	}
	if ci := fs.GetConfig(context.Background()); len(ci.BwLimitFile) != 0 || ci.Transfers != 4 {
		t.Error("a session changed the settings of the process")
	}
}

// Things that can only be seen from outside of a process: the home folder stays
// empty, RCLONE_* has no effect, and a signal is left to the program.
func TestLibraryLeavesTheProcessAlone(t *testing.T) {
	if os.Getenv("REMOTE_TEST_CHILD") != "" {
		child(t)
		return
	}
	t.Parallel()
	home := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLibraryLeavesTheProcessAlone$", "-test.v")
	cmd.Env = []string{"REMOTE_TEST_CHILD=1", "HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(),
		"RCLONE_TRANSFERS=17", "RCLONE_CA_CERT=/nowhere", "RCLONE_CONFIG_A_TYPE=local", "HTTPS_PROXY=http://127.0.0.1:1"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "child is done") {
		t.Fatalf("child: %v\n%s", err, out)
	}
	entries, err := os.ReadDir(home)
	if err != nil || len(entries) > 0 {
		t.Errorf("home has %v, %v", entries, err)
	}
}

func child(t *testing.T) {
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	files{"a": "1"}.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	if _, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/x"), nil); err != nil {
		t.Fatal(err)
	}
	// Only some types make the library want to tidy up at a signal.
	to := mustOpen(t, s, startSFTP(t).remote(testSecret), t.TempDir())
	if _, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), to, nil); err != nil {
		t.Fatal(err)
	}
	if ci := fs.GetConfig(context.Background()); ci.MaxStatsGroups != maxStatsGroups {
		t.Errorf("counters of %d sessions are kept", ci.MaxStatsGroups)
	}
	if ci := fs.GetConfig(context.Background()); ci.Transfers == 17 || len(ci.CaCert) > 0 {
		t.Error("the environment reached the library")
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-signals
	// The library's handler would end the process now, with code 143.
	_, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	connectionsAreGone(t, b, server)
	fmt.Println("child is done")
}

// connectionsAreGone runs sessions until one that leaves something behind
// would show.
func connectionsAreGone(t *testing.T, b *bundle, server *s3Server) {
	before := runtime.NumGoroutine()
	for range 20 {
		s := b.session(t.Context(), t)
		_, _, err := b.sync(t, s, mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/x"), mustOpen(t, s, local("b"), "/dst"), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before+10 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, there were %d", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}
