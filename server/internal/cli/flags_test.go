package cli

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Mistakes in flags are told with the flag and what it takes, before anybody is
// asked.
func TestMistakesInFlags(t *testing.T) {
	t.Setenv("CARILLON_PROFILE", filepath.Join(t.TempDir(), "none"))
	for call, want := range map[string]string{
		"webhook update webhook_4":                          "nothing to change",
		"webhook create -i inst_1 --url x --selector team":  `--selector: "team" is not key=value`,
		"apply -i inst_1 -f x --prune team":                 `--prune: "team" is not key=value`,
		"delivery list -i inst_1 --event FAILED":            `--event: "FAILED" is none of FIRST_FAILURE, NTH_FAILURE`,
		"delivery list -i inst_1 --state STATE_UNSPECIFIED": `--state: "STATE_UNSPECIFIED" is none of PENDING, DELIVERED, FAILED`,
		"execution files exec_1 --action x":                 `--action: "x" is none of COPY, UPDATE, DELETE`,
		"job run job_1 --overlap-policy queue":              `--overlap-policy: "queue" is none of SKIP, BUFFER_ONE`,
	} {
		root := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
		root.AddGroup(Group)
		root.AddCommand(Commands()...)
		root.SetArgs(strings.Fields(call))
		root.SetOut(io.Discard)
		err := root.ExecuteContext(t.Context())
		var exit *Exit
		if !errors.As(err, &exit) || exit.Code != ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", call, err, want)
		}
	}
}

// The labels of a webhook stand in one order.
func TestWebhookTable(t *testing.T) {
	t.Parallel()
	w := &carillonv1.Webhook{JobIds: []string{"job_1"}, Labels: map[string]string{"c": "3", "a": "1", "b": "2", "d": "4"}}
	for range 20 {
		if got := webhookTable(w)().rows[0][3]; got != "job_1,a=1,b=2,c=3,d=4" {
			t.Fatalf("about %s", got)
		}
	}
}
