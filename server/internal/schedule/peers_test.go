package schedule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// peersDir names a folder outside the repository in which
// "npm install croner cron-parser cronosjs" was run.
const peersDir = "CARILLON_TEST_CRON_ORACLES"

const peerTimes = 5

// peerCase is a question to every evaluator.
type peerCase struct {
	Expr  string    `json:"expr"`
	Zone  string    `json:"zone"`
	After time.Time `json:"after"`
	// plain says that no clock change is near, so all must answer alike.
	plain bool
}

// Other people's cron implementations, where there are any. What they all
// say must be what we say; where they differ the log tells how often.
func TestAgreesWithPeers(t *testing.T) {
	t.Parallel()
	cases := peerCases(t)
	answers := map[string][][]string{}
	t.Run("npm packages", func(t *testing.T) { askNode(t, cases, answers) })
	t.Run("systemd", func(t *testing.T) { askSystemd(t, cases, answers) })
	if len(answers) == 0 {
		t.Skip("compared with no other implementation: none was found")
	}
	agreed, differed := map[string][2]int{}, map[string][2]int{}
	unanimous := 0
	for i, c := range cases {
		ours := chain(mustCompile(t, cron(c.Expr, c.Zone)), c.After, peerTimes)
		kind := 0
		if !c.plain {
			kind = 1
		}
		var theirs []string
		votes, split := 0, false
		for name, list := range answers {
			if list[i] == nil {
				continue
			}
			tally := agreed
			if !slices.Equal(list[i], ours) {
				tally = differed
			}
			n := tally[name]
			n[kind]++
			tally[name] = n
			split = split || votes > 0 && !slices.Equal(list[i], theirs)
			theirs = list[i]
			votes++
		}
		if !c.plain || split || votes < 2 {
			continue
		}
		unanimous++
		if !slices.Equal(theirs, ours) {
			t.Errorf("%q in %s after %v: %d peers say %v, we say %v", c.Expr, c.Zone, c.After, votes, theirs, ours)
		}
	}
	for name := range answers {
		a, d := agreed[name], differed[name]
		t.Logf("%s agrees in %d of %d plain cases and %d of %d near a clock change", name, a[0], a[0]+d[0], a[1], a[1]+d[1])
		if a[0]*100 < 99*(a[0]+d[0]) {
			t.Errorf("%s disagrees in more than one of a hundred plain cases", name)
		}
	}
	t.Logf("%d of %d cases were answered alike by two or more peers", unanimous, len(cases))
}

func peerCases(t *testing.T) (cases []peerCase) {
	rng := rand.New(rand.NewPCG(3, 4))
	exprs := slices.Clone(bruteExprs)
	exprs = slices.DeleteFunc(exprs, func(e string) bool { return e == "0 0 */2 * MON" }) // read in two ways
	for len(exprs) < 150 {
		exprs = append(exprs, randomExpr(rng))
	}
	for _, zone := range []string{"UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"} {
		for _, after := range []time.Time{
			time.Date(2025, 3, 8, 0, 0, 0, 0, time.UTC), time.Date(2025, 11, 1, 12, 30, 0, 0, time.UTC), time.Date(2027, 7, 31, 23, 59, 0, 0, time.UTC),
		} {
			for _, expr := range exprs {
				s := mustCompile(t, cron(expr, zone))
				c := peerCase{Expr: expr, Zone: zone, After: after}
				times := chain(s, after, peerTimes)
				last := at(t, times[peerTimes-1])
				c.plain = s.zone.find(after.Unix()-daySeconds) == s.zone.find(last.Unix()+daySeconds)
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// randomExpr makes a valid expression that every implementation should read
// alike: no wrapping range, no step on a single value, and a step in a day
// field only while the other one is *.
func randomExpr(rng *rand.Rand) string {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	field := func(lo, hi int) string {
		a := lo + rng.IntN(hi-lo)
		b := a + 1 + rng.IntN(hi-a)
		return pick("*", "*", fmt.Sprintf("*/%d", 2+rng.IntN((hi-lo)/2)), fmt.Sprint(a), fmt.Sprint(a), fmt.Sprintf("%d,%d", a, b),
			fmt.Sprintf("%d-%d", a, b), fmt.Sprintf("%d-%d/%d", a, b, 1+rng.IntN(3)), fmt.Sprintf("%d,%d-%d", lo, a+1, max(a+1, b)))
	}
	for {
		dom, dow := field(1, 28), field(0, 6)
		if dow[0] != '*' {
			dow = pick(dow, pick("MON", "tue", "Sat", "SUN"), "MON-FRI", "WED,SUN")
		}
		month := pick("*", "*", "*", field(1, 12), pick("JAN", "feb", "OCT-DEC"))
		if dom == "*" || dow == "*" || dom[0] != '*' && dow[0] != '*' {
			return strings.Join([]string{field(0, 59), field(0, 23), dom, month, dow}, " ")
		}
	}
}

func askNode(t *testing.T, cases []peerCase, answers map[string][][]string) {
	dir := os.Getenv(peersDir)
	if dir == "" {
		t.Skipf("not compared with npm packages: %s names no folder with croner, cron-parser, cronosjs", peersDir)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("not compared with npm packages: there is no node")
	}
	question, err := json.Marshal(map[string]any{"dir": dir, "count": peerTimes, "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "testdata/peers.mjs")
	cmd.Stdin = bytes.NewReader(question)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][][]string{}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("%s holds none of the packages", dir)
	}
	for name, list := range found {
		answers[name] = list
	}
}

// askSystemd asks systemd-analyze, whose calendar events can say what cron
// can, except that one of the two day fields is enough.
func askSystemd(t *testing.T, cases []peerCase, answers map[string][][]string) {
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("not compared with systemd: there is no systemd-analyze")
	}
	list := make([][]string, len(cases))
	for start := 0; start < len(cases); {
		var indices []int
		args := []string{"calendar", fmt.Sprint("--iterations=", peerTimes), "--base-time=" + cases[start].After.Format("2006-01-02 15:04:05 UTC")}
		end := start
		for ; end < len(cases) && cases[end].Zone == cases[start].Zone && cases[end].After.Equal(cases[start].After); end++ {
			if event, ok := systemdEvent(cases[end]); ok && cases[end].plain {
				indices = append(indices, end)
				args = append(args, event)
			}
		}
		start = end
		if len(indices) == 0 {
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("not compared with systemd: %v", err)
		}
		blocks := strings.Split(strings.TrimSpace(string(out)), "\n\n")
		if len(blocks) != len(indices) {
			t.Skipf("not compared with systemd: its output is not understood:\n%.500s", out)
		}
		for i, block := range blocks {
			list[indices[i]] = systemdTimes(block)
		}
	}
	answers["systemd"] = list
}

func systemdEvent(c peerCase) (string, bool) {
	brute := bruteParse(c.Expr)
	if brute.either {
		return "", false
	}
	values := func(field int) string {
		var list []string
		for v, ok := range brute.fields[field] {
			if ok {
				list = append(list, fmt.Sprint(v))
			}
		}
		return strings.Join(list, ",")
	}
	var days []string
	for i, name := range []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"} {
		if brute.fields[4][i] {
			days = append(days, name)
		}
	}
	return fmt.Sprintf("%s *-%s-%s %s:%s:00 %s", strings.Join(days, ","), values(3), values(2), values(1), values(0), c.Zone), true
}

var systemdTime = regexp.MustCompile(`(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC`)

func systemdTimes(block string) (list []string) {
	for _, m := range systemdTime.FindAllStringSubmatch(block, -1) {
		list = append(list, strings.Replace(m[1], " ", "T", 1)+"Z")
	}
	return list
}
