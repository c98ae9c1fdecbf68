package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

var errNotSignedIn = errors.New("nobody is signed in: use carillon login, or set CARILLON_TOKEN; on the server's machine: CARILLON_TOKEN=$(carillon token --scope operator)")

func errOtherService(have, want string) error {
	return fmt.Errorf("the profile is for %s, not for %s: use carillon login --api-addr %s, or set CARILLON_TOKEN", have, want, want)
}

func loginCommand(s *session) *cobra.Command {
	var clientID string
	var withToken bool
	cmd := &cobra.Command{
		Use:   "login",
		Short: "keep who you are, for the commands after it",
		Long: `Keep who you are and where the service is, for the commands after it, in the
file client.yaml of your configuration folder (CARILLON_PROFILE names another),
which only you can read. With --client-id the client's secret is asked for, or
read from standard input; with --with-token a bearer token is.`,
		Example: `  carillon login --client-id client_3 < secret.txt
  carillon token --scope operator | carillon login --with-token
  carillon login --api-addr jobs.example.com:443 --client-id client_3`,
		Args: cobra.NoArgs,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if (clientID == "") == !withToken {
				return usage("give either --client-id ID or --with-token")
			}
			what := "token"
			if clientID != "" {
				what = "secret of " + clientID
			}
			secret, err := readSecret(cmd, what)
			if err != nil {
				return err
			}
			p := profile{APIAddr: s.apiAddr, TLSCA: s.tlsCA, Plaintext: s.plaintext}
			if withToken {
				p.Token = secret
			} else {
				p.ClientID, p.ClientSecret = clientID, secret
				if err := s.signIn(ctx, &p); err != nil {
					return err
				}
			}
			s.profile = p
			return s.greet(ctx, cmd)
		}),
	}
	cmd.Flags().StringVar(&clientID, "client-id", "", "sign in as this client; its `id`, such as client_3")
	cmd.Flags().BoolVar(&withToken, "with-token", false, "sign in with a bearer token")
	return cmd
}

// greet tries what was given and keeps it. The only instance that can be seen
// becomes the default.
func (s *session) greet(ctx context.Context, cmd *cobra.Command) error {
	if err := os.Unsetenv("CARILLON_TOKEN"); err != nil { // it would be taken instead
		return err
	}
	answer, err := call(ctx, s, carillonv1.NewInstanceServiceClient, carillonv1.InstanceServiceClient.ListInstances, &carillonv1.ListInstancesRequest{PageSize: 2})
	if err != nil {
		return err
	}
	hint := "Choose an instance with carillon instance use ID; carillon instance list shows them."
	if found := answer.GetInstances(); len(found) == 1 {
		s.profile.Instance = found[0].GetId()
		hint = fmt.Sprintf("The instance is %s, %s.", found[0].GetId(), plain(found[0].GetTitle()))
	}
	if err := s.profile.write(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "Signed in at %s. %s\n", s.apiAddr, hint)
	return err
}

// readSecret asks for a secret without showing it, or reads standard input
// where that is no terminal.
func readSecret(cmd *cobra.Command, what string) (string, error) {
	in := cmd.InOrStdin()
	var text []byte
	var err error
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s: ", what)
		text, err = term.ReadPassword(int(file.Fd()))
		_, _ = fmt.Fprintln(cmd.ErrOrStderr())
	} else {
		text, err = io.ReadAll(io.LimitReader(in, 64<<10))
	}
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", usage("the %s is empty", what)
	}
	return secret, nil
}

func logoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "forget who you are",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := profilePath()
			if err != nil {
				return err
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	}
	takeUnread(cmd.Flags(), "data-dir", "database-url", "keyset")
	return cmd
}
