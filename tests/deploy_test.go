package tests

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// Metrics that are there only once something has come of a minute's look, which
// this test does not wait for.
var lateMetrics = map[string]bool{"carillon_invariant_violations": true}

var metricName = regexp.MustCompile(`\b(carillon|process|go)_[a-z_]+`)

// Alerts and the dashboard ask for metrics that exist.
func TestMetricsOfAlertsAndDashboard(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	tenant.End(t, tenant.Run(t, tenant.Create(t, nil, harness.Noop("a"))))
	for _, file := range []string{"../docs/deploy/alerts.yaml", "../docs/deploy/dashboard.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(text), -1)
		if len(names) == 0 {
			t.Fatalf("%s names no metric", file)
		}
		missing := ""
		found := harness.Within(10*time.Second, func() bool {
			answer, err := http.Get("http://" + server.Admin + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			told, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if missing = name; !lateMetrics[name] && !strings.Contains(string(told), "\n"+name) {
					return false
				}
			}
			return true
		})
		if !found {
			t.Errorf("%s asks for %s, which there is not", file, missing)
		}
	}
}
