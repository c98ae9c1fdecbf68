// Command bench measures the engine and writes tables in Markdown:
//
//	withpg -durable bench [-scenario herd,steady] [-herd 20000,100000]
//
// It exits with 1 when an execution is missing, doubled or not successful.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/bench"
	"github.com/pointscene/carillon/server/internal/telemetry"
	"github.com/pointscene/carillon/tests/pgtest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	c := bench.Config{Postgres: os.Getenv(pgtest.EnvURL), Herds: []int{20_000, 100_000}, Out: os.Stdout}
	scenarios := flag.String("scenario", strings.Join(bench.Scenarios(), ","), "what to measure")
	databases := flag.String("database", "postgres,sqlite", "on which databases; PostgreSQL is the one that "+pgtest.EnvURL+" names")
	flag.Func("herd", "how many jobs are due at once, one or more numbers (default 20000,100000)", func(text string) (err error) {
		c.Herds, err = numbers(text)
		return err
	})
	flag.BoolVar(&c.Distinct, "distinct", false, "give each job of a herd a workflow with a text of its own")
	flag.IntVar(&c.Rounds, "rounds", 3, "how often each herd runs")
	flag.IntVar(&c.Rate, "rate", 500, "executions a second of the steady load")
	flag.DurationVar(&c.For, "for", 20*time.Second, "how long the steady load and the idle time last, up to 5m")
	flag.IntVar(&c.Others, "others", 1_000_000, "jobs stored beside, in the scenario scale")
	flag.IntVar(&c.Places, "places", 2000, "executions that a replica holds at once")
	flag.IntVar(&c.Faults, "faults", 2, "how often a replica is killed and the other one stopped, in the scenario faults")
	flag.StringVar(&c.Server, "server", "", "the program carillon, for the scenarios program, neighbour and faults, and for the idle time")
	flag.StringVar(&c.River, "river", "", "the program of ../../river, for the scenario river")
	flag.StringVar(&c.Rclone, "rclone", "", "the program of ../../rclone, for the scenario sync")
	flag.IntVar(&c.Files, "files", 5000, "small files, in the scenario sync")
	flag.IntVar(&c.Tree, "tree", 200_000, "files, in the scenario tree")
	flag.StringVar(&c.Folder, "folder", "", "where SQLite's files and the folders to sync go (default the temporary folder)")
	profile := flag.String("profile", "", "write a CPU profile of this process to a file")
	replica := flag.Bool("replica", false, "be a replica of another bench; for its own use")
	flag.Parse()
	telemetry.TradeMemoryForTime()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if *replica {
		return bench.Replica(ctx, c.Places, os.Stdin, os.Stdout)
	}
	if c.Rounds < 1 || c.Rate < 1 || c.Rate > 10_000 || c.For < time.Second || c.For > 5*time.Minute || c.Others < 1 || c.Places < 1 || c.Faults < 1 || c.Files < 1 || c.Tree < 1 {
		return fmt.Errorf("a number is out of range; see -help")
	}
	if err := choose(&c, *scenarios, *databases); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	c.Replica = []string{program, "-replica", "-places", strconv.Itoa(c.Places)}
	if *profile != "" {
		stop, err := profileTo(*profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	return bench.Run(ctx, c)
}

func numbers(text string) (list []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > 1_000_000 {
			return nil, fmt.Errorf("%q is not a number from 1 to 1000000", part)
		}
		list = append(list, n)
	}
	return list, nil
}

func choose(c *bench.Config, scenarios, databases string) error {
	c.Scenarios = strings.Split(scenarios, ",")
	known := strings.Join(bench.Scenarios(), ",")
	for _, name := range c.Scenarios {
		if !strings.Contains(","+known+",", ","+name+",") {
			return fmt.Errorf("-scenario %s: known are %s", name, known)
		}
	}
	c.SQLite = strings.Contains(databases, "sqlite")
	switch {
	case !strings.Contains(databases, "postgres"):
		c.Postgres = ""
	case c.Postgres == "":
		fmt.Fprintf(os.Stderr, "*** LEFT OUT: PostgreSQL; run `make bench`, or set %s to a server on this machine.\n", pgtest.EnvURL)
	}
	return nil
}

func profileTo(path string) (stop func(), err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		if err := file.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}, nil
}
