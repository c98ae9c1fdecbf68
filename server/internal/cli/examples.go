package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples are those of commands that need no words about them, by path.
var examples = map[string]string{
	"backfill get":        "carillon backfill get backfill_2 -o json",
	"backfill cancel":     "carillon backfill cancel backfill_2",
	"client list":         "carillon client list",
	"client reset-secret": "carillon client reset-secret client_3",
	"client delete":       "carillon client delete client_3",
	"config types":        "carillon config types",
	"config get":          "carillon config get res_7",
	"config remove":       "carillon config remove res_7 drive",
	"delivery get":        "carillon delivery get delivery_40 -o yaml",
	"delivery redeliver":  "carillon delivery redeliver delivery_40",
	"execution list":      "carillon execution list --job job_19 --limit 20\ncarillon execution list --watch",
	"execution get":       "carillon execution get exec_100 -o json | jq .error",
	"execution wait":      "carillon execution wait exec_100 && echo it succeeded",
	"execution cancel":    "carillon execution cancel exec_100",
	"execution approve":   "carillon execution get exec_100 # shows the plan and its digest\ncarillon execution approve exec_100 --digest 5f2c...",
	"execution reject":    "carillon execution reject exec_100 --reason 'the source was empty'",
	"execution files":     "carillon execution files exec_100 --state FAILED",
	"instance list":       "carillon instance list",
	"instance get":        "carillon instance get inst_1",
	"instance create":     "carillon instance use $(carillon instance create Acme -o json | jq -r .id)",
	"instance use":        "carillon instance use inst_1",
	"instance pause":      "carillon instance pause inst_1 --reason maintenance --until 2h",
	"instance resume":     "carillon instance resume inst_1",
	"instance delete":     "carillon instance delete inst_1",
	"job list":            "carillon job list -l team=survey\ncarillon job list --watch",
	"job get":             "carillon job get job_19 -o yaml",
	"job resume":          "carillon job resume job_19",
	"job plan":            "carillon job plan job_19",
	"job delete":          "carillon job delete job_19",
	"job occurrences":     "carillon job occurrences job_19 --from -24h --to 24h",
	"job explain":         "carillon job explain job_19",
	"job skip":            "carillon job skip job_19 2026-12-24T01:30:00Z",
	"job move":            "carillon job move job_19 2026-12-24T01:30:00Z 2026-12-24T05:00:00Z",
	"job restore":         "carillon job restore job_19 2026-12-24T01:30:00Z",
	"logout":              "carillon logout",
	"resource list":       "carillon resource list",
	"resource get":        "carillon resource get res_7",
	"resource create":     "carillon resource create 'Site photographs'",
	"resource delete":     "carillon resource delete res_7",
	"webhook list":        "carillon webhook list",
	"webhook get":         "carillon webhook get webhook_4 -o yaml",
	"webhook delete":      "carillon webhook delete webhook_4",
	"webhook rotate":      "carillon webhook rotate webhook_4 -o json | jq -r .secret",
	"webhook test":        "carillon webhook test webhook_4",
}

// addExamples gives a command and those below it their examples.
func addExamples(cmd *cobra.Command, path string) {
	if text, ok := examples[path]; ok {
		cmd.Example = "  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	for _, child := range cmd.Commands() {
		addExamples(child, path+" "+child.Name())
	}
}
