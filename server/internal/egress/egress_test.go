package egress_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
)

// site is a server that counts connections.
type site struct {
	port  string
	conns atomic.Int64
}

func newSite(t *testing.T, address string, handler http.HandlerFunc) *site {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	_, s.port, _ = net.SplitHostPort(listener.Addr().String())
	return s
}

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// get calls url through a new connection.
func get(t *testing.T, guard *egress.Guard, url string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	request.Close = true
	response, err := guard.Client().Do(request)
	if err == nil {
		response.Body.Close()
	}
	return err
}

func reason(err error) string {
	var failure *job.Failure
	if errors.As(err, &failure) {
		return failure.Reason
	}
	return ""
}

func allow(t *testing.T, texts ...string) egress.Options {
	t.Helper()
	networks, err := egress.ParsePrefixes(texts)
	if err != nil {
		t.Fatal(err)
	}
	return egress.Options{Allow: networks}
}

// TestNoFormOfAnInsideAddressConnects tries ways to write loopback, private
// and metadata addresses. Names go to a name server that answers 127.0.0.1.
func TestNoFormOfAnInsideAddressConnects(t *testing.T) {
	t.Parallel()
	inside := newSite(t, "127.0.0.1:0", ok)
	guard := egress.New(egress.Options{Resolver: newNameServer(t, addresses("127.0.0.1")).resolver()})
	hosts := []string{
		// Names.
		"localhost", "LOCALHOST", "localhost.", "app.localhost", "inside.test", "inside.test.", "metadata.google.internal",
		"0x7f000001", "0x7f.0.0.1", "0x7f.1", "xn--bcher-kva.test", "127.0.0.1.nip.test", "a@inside.test", "public.test:x@inside.test",
		// IPv4 in the usual form.
		"127.0.0.1", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1",
		"172.31.255.255", "192.168.0.1", "192.168.255.255", "169.254.169.254", "169.254.170.2", "168.63.129.16",
		"100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.192", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		// IPv6.
		"[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[0000::0001]", "[fe80::1]", "[fe80::1%25lo]", "[febf::1]", "[fec0::1]",
		"[fc00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[ff02::1]", "[ff0e::1]", "[100::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]",
		// IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo.
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:10.0.0.1]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::7f00:1]",
		"[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
		"[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
	}
	if len(hosts) < 60 {
		t.Fatalf("only %d forms", len(hosts))
	}
	var trying sync.WaitGroup
	for _, host := range hosts {
		trying.Go(func() {
			if err := get(t, guard, "http://"+host+":"+inside.port+"/"); reason(err) != egress.ReasonDenied {
				t.Errorf("%s: %v, want EGRESS_DENIED", host, err)
			}
		})
	}
	trying.Wait()
	if n := inside.conns.Load(); n > 0 {
		t.Errorf("%d connections reached the inside", n)
	}
}

// TestNumericNamesDoNotConnect tries the numeric forms that C libraries take
// for addresses and Go takes for no name at all: which of the two happens
// depends on the system's resolver, and neither may connect.
func TestNumericNamesDoNotConnect(t *testing.T) {
	t.Parallel()
	inside := newSite(t, "127.0.0.1:0", ok)
	var trying sync.WaitGroup
	for _, options := range []egress.Options{{}, {Resolver: newNameServer(t, addresses("127.0.0.1")).resolver()}} {
		guard := egress.New(options)
		for _, host := range []string{
			"127.1", "127.0.1", "0", "0.0", "2130706433", "017700000001", "0177.0.0.1", "0177.1", "127.000.000.001",
			"0300.0250.0.1", "3232235521", "4294967295", "10.1", "169.254.43518",
		} {
			trying.Go(func() {
				err := get(t, guard, "http://"+host+":"+inside.port+"/")
				var unknown *egress.DialError
				if reason(err) != egress.ReasonDenied && !errors.As(err, &unknown) {
					t.Errorf("%s: %v, want a refusal", host, err)
				}
			})
		}
	}
	trying.Wait()
	if n := inside.conns.Load(); n > 0 {
		t.Errorf("%d connections reached the inside", n)
	}
}

func TestPublicAddressesAreAllowed(t *testing.T) {
	t.Parallel()
	guard := egress.New(egress.Options{})
	for _, text := range []string{
		"1.1.1.1", "8.8.8.8", "93.184.215.14", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.1", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255",
		"::ffff:1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1", "64:ff9b::1.1.1.1", "2001:200::1", "2001:4860:4860::8888",
	} {
		if !guard.Allowed(netip.MustParseAddr(text)) {
			t.Errorf("%s is denied", text)
		}
	}
	if guard.Allowed(netip.Addr{}) {
		t.Error("no address is allowed")
	}
}

func TestAllowOpensOnlyItsNetworks(t *testing.T) {
	t.Parallel()
	inside, other := newSite(t, "127.0.0.1:0", ok), newSite(t, "127.0.0.2:0", ok)
	guard := egress.New(allow(t, "127.0.0.1", "fd00:1::/32"))
	if err := get(t, guard, "http://127.0.0.1:"+inside.port); err != nil {
		t.Error(err)
	}
	if err := get(t, guard, "http://[::ffff:127.0.0.1]:"+inside.port); err != nil {
		t.Error(err)
	}
	if err := get(t, guard, "http://127.0.0.2:"+other.port); reason(err) != egress.ReasonDenied || other.conns.Load() > 0 {
		t.Errorf("%v after %d connections", err, other.conns.Load())
	}
	for text, want := range map[string]bool{
		"fd00:1::5": true, "fd00:1::5%eth0": true, "fd00:2::5": false,
		// Another network's loopback, even if ours is allowed.
		"64:ff9b::127.0.0.1": false,
	} {
		if got := guard.Allowed(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestRebinding lets a name point outside first (127.0.0.2, which is allowed
// here) and inside afterwards, and at both at once.
func TestRebinding(t *testing.T) {
	t.Parallel()
	outside := newSite(t, "127.0.0.2:0", ok)
	inside := newSite(t, "127.0.0.1:"+outside.port, ok)
	options := allow(t, "127.0.0.2")
	options.Resolver = newNameServer(t, addresses("127.0.0.2"), addresses("127.0.0.1", "127.0.0.2"), addresses("127.0.0.1")).resolver()
	guard := egress.New(options)
	for i, want := range []string{"", "", egress.ReasonDenied, egress.ReasonDenied} {
		if err := get(t, guard, "http://rebind.test:"+outside.port); reason(err) != want || want == "" && err != nil {
			t.Errorf("call %d: %v, want reason %q", i, err, want)
		}
	}
	if outside.conns.Load() != 2 || inside.conns.Load() != 0 {
		t.Errorf("%d connections outside and %d inside, want 2 and 0", outside.conns.Load(), inside.conns.Load())
	}
}

func TestErrorsTellNothingOfTheInside(t *testing.T) {
	t.Parallel()
	guard := egress.New(egress.Options{Resolver: newNameServer(t, addresses("10.20.30.40")).resolver()})
	err := get(t, guard, "http://user:hunter2@inside.test/path?token=hunter2")
	var failure *job.Failure
	if !errors.As(err, &failure) {
		t.Fatal(err)
	}
	if strings.Contains(failure.Message, "10.20") || strings.Contains(failure.Message, "hunter2") ||
		!strings.Contains(failure.Message, `"inside.test"`) || !strings.Contains(failure.Message, "--egress-allow") {
		t.Errorf("message: %s", failure.Message)
	}
}

// A name that leads inside, one without an address and one that is not there are
// the same to whoever asks: in words, in kind, and in time.
func TestNamesAreNoOracle(t *testing.T) {
	t.Parallel()
	servers := map[string]*nameServer{
		"inside": newNameServer(t, addresses("10.20.30.40")), "no address": newNameServer(t, nil), "no name": newNameServer(t, nil),
		"inside, after a while": newNameServer(t, addresses("10.20.30.40")),
	}
	servers["no name"].missing = true
	servers["inside, after a while"].delay = 100 * time.Millisecond
	type seen struct{ text, code, reason string }
	var mu sync.Mutex
	var answers []seen
	var asking sync.WaitGroup
	for name, server := range servers {
		asking.Go(func() {
			guard := egress.New(egress.Options{Resolver: server.resolver()})
			began := time.Now()
			_, err := guard.DialContext(t.Context(), "tcp", "db.internal.test:5432")
			took := time.Since(began)
			var failure *job.Failure
			if !errors.As(err, &failure) {
				t.Errorf("%s: %v, want a failure", name, err)
				return
			}
			if took < 500*time.Millisecond {
				t.Errorf("%s is refused after %s", name, took)
			}
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, seen{err.Error(), failure.Code, failure.Reason})
		})
	}
	asking.Wait()
	for _, answer := range answers {
		if answer != answers[0] {
			t.Errorf("told apart:\n%v\n%v", answers[0], answer)
		}
	}
	// Who has no time does not wait.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := egress.New(egress.Options{Resolver: servers["inside"].resolver()}).DialContext(ctx, "tcp", "db.internal.test:5432"); err == nil {
		t.Error("it connects")
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	guard := egress.New(allow(t, "127.0.0.0/8"))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name    string
		ctx     context.Context
		address string
		want    string
	}{
		{"refused", t.Context(), closed, `connect to "127.0.0.1": connection refused`},
		{"cancelled", cancelled, closed, `connect to "127.0.0.1": cancelled`},
	}
	for _, test := range tests {
		_, err := guard.DialContext(test.ctx, "tcp", test.address)
		var dial *egress.DialError
		if !errors.As(err, &dial) || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	for _, network := range []string{"udp", "unix", "ip4:icmp", ""} {
		if conn, err := guard.DialContext(t.Context(), network, "127.0.0.1:80"); err == nil {
			conn.Close()
			t.Errorf("network %q connects", network)
		}
	}
}

func TestEnvironmentProxyIsIgnored(t *testing.T) {
	t.Parallel()
	if egress.New(egress.Options{}).Transport().Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
}

func TestParsePrefixes(t *testing.T) {
	t.Parallel()
	got, err := egress.ParsePrefixes([]string{"10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1", "::ffff:10.0.0.1", "0.0.0.0/0"})
	want := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("fd00::/8"),
		netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("0.0.0.0/0"),
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", "10.0.0.1/8", "10.0.0.0/33", "localhost", "::ffff:10.0.0.0/104", "fe80::1%eth0", "10.0.0.0/8 ", "10/8"} {
		if got, err := egress.ParsePrefixes([]string{"10.0.0.0/8", text}); err == nil || !strings.Contains(err.Error(), `network "`+text+`"`) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
