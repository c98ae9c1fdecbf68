package executionlog

import "testing"

func TestFilter(t *testing.T) {
	t.Parallel()
	const warning = `{"time":"2026-01-01T00:00:00Z","level":"WARN","task":"copy","message":"Kann \"Größe\" nicht lesen <a>","path":"in/Plan.dwg","size":{"bytes":1234}}` + "\n"
	const quoting = `{"time":"2026-01-01T00:00:00Z","level":"INFO","message":"it answered \"ERROR\""}` + "\n"
	const foreign = "no JSON, but a line\n"
	tests := map[string]struct {
		filter Filter
		line   string
		want   bool
	}{
		"everything":            {Filter{}, warning, true},
		"severe enough":         {Filter{Level: "WARN"}, warning, true},
		"more severe":           {Filter{Level: "INFO"}, warning, true},
		"not severe enough":     {Filter{Level: "ERROR"}, warning, false},
		"a level in the text":   {Filter{Level: "ERROR"}, quoting, false},
		"in the message":        {Filter{Search: "nicht LESEN"}, warning, true},
		"quotes and umlauts":    {Filter{Search: `"gRÖSSE"`}, warning, false},
		"quotes and umlauts 2":  {Filter{Search: `"größe"`}, warning, true},
		"angle brackets":        {Filter{Search: "<A>"}, warning, true},
		"the task":              {Filter{Search: "cop"}, warning, true},
		"an attribute":          {Filter{Search: "plan.DWG"}, warning, true},
		"its name":              {Filter{Search: "path"}, warning, true},
		"a number in an object": {Filter{Search: "1234"}, warning, true},
		"names of other fields": {Filter{Search: "message"}, warning, false},
		"the time":              {Filter{Search: "2026"}, warning, false},
		"both":                  {Filter{Level: "WARN", Search: "plan"}, warning, true},
		"not both":              {Filter{Level: "ERROR", Search: "plan"}, warning, false},
		"of somebody else":      {Filter{Level: "ERROR", Search: "NO JSON"}, foreign, true},
	}
	for name, test := range tests {
		if got := test.filter.matcher().matches([]byte(test.line)); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
