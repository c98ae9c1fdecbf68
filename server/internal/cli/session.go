package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

const defaultAPIAddr = "127.0.0.1:9090"

// session is one command's way to the service. Its fields are flags; what is
// not given comes from the environment, then from the profile.
type session struct {
	apiAddr   string
	dataDir   string
	tlsCA     string
	plaintext bool
	instance  string
	output    string

	profile profile
	conn    *grpc.ClientConn
}

// addFlags adds the flags that every client command has.
func (s *session) addFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&s.apiAddr, "api-addr", "", "`host:port` of the gRPC door (default the profile's, then "+defaultAPIAddr+")")
	f.StringVar(&s.dataDir, "data-dir", "", "`folder` of a server on this machine, whose address is taken instead")
	takeUnread(f, "database-url", "keyset")
	f.StringVar(&s.tlsCA, "tls-ca", "", "PEM `file` of the authority that signed the server's certificate (default the system's)")
	f.BoolVar(&s.plaintext, "plaintext", false, "speak plain text beyond loopback, the token included")
	f.StringVarP(&s.instance, "instance", "i", "", "`id` of the instance (default the profile's)")
	_ = cmd.RegisterFlagCompletionFunc("instance", s.complete(instanceIDs))
	f.StringVarP(&s.output, "output", "o", "table", "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// takeUnread adds flags that every command of the program takes, for scripts that
// give all of them the same, and that this one has no use for.
func takeUnread(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f.String(name, "", "for the commands on the server's machine")
		_ = f.MarkHidden(name)
	}
}

// open fills what was not given and checks it; it does not connect yet.
func (s *session) open(cmd *cobra.Command) error {
	switch s.output {
	case "table", "json", "yaml":
	default:
		return usage("--output: %q is neither table, json nor yaml", s.output)
	}
	var err error
	if s.profile, err = readProfile(); err != nil {
		return err
	}
	if s.apiAddr == "" && s.dataDir != "" {
		if s.apiAddr, err = addressIn(s.dataDir); err != nil {
			return err
		}
	}
	s.apiAddr = cmp.Or(s.apiAddr, os.Getenv("CARILLON_API_ADDR"), s.profile.APIAddr, defaultAPIAddr)
	s.tlsCA = cmp.Or(s.tlsCA, os.Getenv("CARILLON_TLS_CA"), s.profile.TLSCA)
	s.instance = cmp.Or(s.instance, os.Getenv("CARILLON_INSTANCE"), s.profile.Instance)
	s.plaintext = s.plaintext || os.Getenv("CARILLON_PLAINTEXT") == "true" ||
		s.profile.Plaintext && s.apiAddr == s.profile.APIAddr
	return nil
}

// addressIn is the address of the gRPC door of the server that keeps its data in a folder.
func addressIn(dataDir string) (string, error) {
	var addresses struct{ GRPC string }
	text, err := os.ReadFile(filepath.Join(dataDir, "addresses.json"))
	if err == nil {
		err = json.Unmarshal(text, &addresses)
	}
	if err != nil || addresses.GRPC == "" {
		return "", usage("--data-dir %s: no server has told its addresses there; start one with carillon serve, or give --api-addr", dataDir)
	}
	return addresses.GRPC, nil
}

// needInstance is the instance, or a refusal that says how to name one.
func (s *session) needInstance() (string, error) {
	if s.instance == "" && os.Getenv("CARILLON_TOKEN") == "" && s.profile.APIAddr == "" {
		return "", &Exit{ExitDenied, errNotSignedIn}
	}
	if s.instance == "" {
		return "", usage("which instance? give --instance, set CARILLON_INSTANCE, or keep one with carillon instance use ID; carillon instance list shows them")
	}
	return s.instance, nil
}

// dial is the connection, with the caller's token.
func (s *session) dial(ctx context.Context) (*grpc.ClientConn, error) {
	if s.conn != nil {
		return s.conn, nil
	}
	token, err := s.token(ctx)
	if err != nil {
		return nil, err
	}
	s.conn, err = s.connect(grpc.WithPerRPCCredentials(bearer(token)))
	return s.conn, err
}

func (s *session) connect(options ...grpc.DialOption) (*grpc.ClientConn, error) {
	transport, err := s.transport()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(s.apiAddr, append(options, grpc.WithTransportCredentials(transport), grpc.WithUserAgent("carillon-cli"))...)
}

// transport is plain text to loopback, unless an authority is named, and TLS to
// everywhere else, unless plain text was asked for by name.
func (s *session) transport() (credentials.TransportCredentials, error) {
	if s.plaintext || s.tlsCA == "" && loopback(s.apiAddr) {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.tlsCA != "" {
		pem, err := os.ReadFile(s.tlsCA)
		if err != nil {
			return nil, usage("--tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("--tls-ca: %s holds no certificate in PEM form", s.tlsCA)
		}
	}
	return credentials.NewTLS(config), nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// token is CARILLON_TOKEN, or the profile's, made anew when it is about to end.
func (s *session) token(ctx context.Context) (string, error) {
	if token := os.Getenv("CARILLON_TOKEN"); token != "" {
		return strings.TrimSpace(token), nil
	}
	p := &s.profile
	if p.Token == "" && p.ClientID == "" {
		return "", &Exit{ExitDenied, errNotSignedIn}
	}
	if s.apiAddr != p.APIAddr {
		// A secret goes only to the service that it was given for.
		return "", &Exit{ExitDenied, errOtherService(p.APIAddr, s.apiAddr)}
	}
	if p.ClientID == "" || time.Until(p.TokenEnds) > time.Minute {
		return p.Token, nil
	}
	if err := s.signIn(ctx, p); err != nil {
		return "", err
	}
	return p.Token, p.write()
}

// signIn gets a token for the profile's client.
func (s *session) signIn(ctx context.Context, p *profile) error {
	conn, err := s.connect()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	asked := time.Now()
	answer, err := carillonv1.NewTokenServiceClient(conn).IssueToken(ctx, &carillonv1.IssueTokenRequest{
		GrantType: "client_credentials", ClientId: p.ClientID, ClientSecret: p.ClientSecret,
	})
	if err != nil {
		return err
	}
	p.Token = answer.GetAccessToken()
	p.TokenEnds = asked.Add(time.Duration(answer.GetExpiresIn()) * time.Second)
	return nil
}

// bearer sends a token with each call. Whether the transport may carry it was
// decided by [session.transport].
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }
