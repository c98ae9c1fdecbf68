package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// runLimit bounds one run with everything around it.
const runLimit = 5 * time.Minute

// Config says what to measure.
type Config struct {
	// Scenarios are names of Scenarios().
	Scenarios []string
	// Postgres is the URL of a server in which databases may be made; empty
	// leaves PostgreSQL out.
	Postgres string
	// SQLite is whether to measure that.
	SQLite bool
	// Folder is where SQLite's files and the folders to sync go; empty means the temporary folder.
	Folder string
	// Herds are numbers of jobs that are due at once.
	Herds []int
	// Rounds is how often each herd runs.
	Rounds int
	// Distinct gives each job of a herd a workflow with a text of its own.
	Distinct bool
	// Rate is how many executions a second the steady load has, and For how
	// long it lasts.
	Rate int
	For  time.Duration
	// Others is how many other jobs are stored in the scenario scale.
	Others int
	// Places is how many executions a replica runs at once.
	Places int
	// Replica is the command that runs a replica in a process of its own.
	Replica []string
	// Server is the program as it is delivered; empty leaves its scenarios out.
	Server string
	// Faults is how often a replica is killed and the other one stopped.
	Faults int
	// River is the program in the folder river; empty leaves River out.
	River string
	// Rclone is the program in the folder rclone; empty leaves it out.
	Rclone string
	// Files is how many small files the scenario sync has, Tree how many the
	// scenario tree.
	Files, Tree int
	// Out takes the tables.
	Out io.Writer
}

type scenario struct {
	name string
	// shared: several processes, which only PostgreSQL serves.
	shared bool
	run    func(Config, context.Context, string) error
}

func scenarios() []scenario {
	return []scenario{
		{"herd", false, Config.herds},
		{"steady", false, Config.steady},
		{"scale", false, Config.scale},
		{"program", false, Config.program},
		{"neighbour", false, Config.neighbour},
		{"replicas", true, Config.replicas},
		{"kill", true, Config.kill},
		{"faults", true, Config.faults},
		{"river", true, Config.river},
		{"sync", false, Config.sync},
		{"tree", false, Config.tree},
	}
}

// Scenarios lists the names in the order in which they run.
func Scenarios() (names []string) {
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// Run measures and writes the report. It goes on after a failure and returns
// all of them.
func Run(ctx context.Context, c Config) error {
	var failures []error
	wanted := make(map[string]bool)
	for _, name := range c.Scenarios {
		wanted[name] = true
	}
	for _, s := range scenarios() {
		if !wanted[s.name] {
			continue
		}
		for _, server := range c.servers(s.shared) {
			if err := s.run(c, ctx, server); err != nil {
				failures = append(failures, fmt.Errorf("%s on %s: %w", s.name, databaseName(server), err))
			}
		}
	}
	return errors.Join(failures...)
}

// servers lists the databases to measure; the empty name is SQLite.
func (c Config) servers(shared bool) (servers []string) {
	if c.Postgres != "" {
		servers = append(servers, c.Postgres)
	}
	if c.SQLite && !shared {
		servers = append(servers, "")
	}
	return servers
}

func databaseName(server string) string {
	if server == "" {
		return "SQLite"
	}
	return "PostgreSQL"
}

func (c Config) herds(ctx context.Context, server string) error {
	for _, jobs := range c.Herds {
		if err := c.herd(ctx, server, jobs); err != nil {
			return err
		}
	}
	return nil
}

// closing drops a database after a run that ended with err.
func closing(ctx context.Context, d *database, err error) error {
	return errors.Join(err, d.close(ctx))
}
