package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pointscene/carillon/server"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

func serveCommand() *cobra.Command {
	c := server.DefaultConfig()
	c.Version = version
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the service",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Out = cmd.OutOrStdout()
			if err := c.Validate(); err != nil {
				return usageError{err}
			}
			telemetry.TradeMemoryForTime()
			s, err := server.New(cmd.Context(), c)
			if err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	commonFlags(cmd, &c)
	f := cmd.Flags()
	f.Var(optionalBool{&c.Migrate}, "migrate", "apply migrations at start (default true on SQLite, false on PostgreSQL)")
	f.Lookup("migrate").NoOptDefVal = "true"
	f.StringVar(&c.GRPCAddr, "grpc-addr", c.GRPCAddr, "`host:port` of the gRPC door; port 0 picks a free one")
	f.StringVar(&c.HTTPAddr, "http-addr", c.HTTPAddr, "`host:port` of the HTTP door (REST, GraphQL)")
	f.StringVar(&c.AdminAddr, "admin-addr", c.AdminAddr, "`host:port` of metrics, health and pprof")
	f.StringVar(&c.PublicURL, "public-url", "", "`address` by which outsiders reach the HTTP door (default from --http-addr)")
	f.StringSliceVar(&c.Roles, "roles", c.Roles, "which `parts` this process runs")
	f.StringVar(&c.APIAddr, "api-addr", "", "`host:port` of the gRPC door that a process with only the facade dials")
	f.StringVar(&c.LogStore, "log-store", "", "where execution logs go, `file://… or s3://…` (default under the data dir)")
	f.DurationVar(&c.HistoryRetention, "history-retention", c.HistoryRetention, "how long executions and their logs are kept")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "how long SIGTERM lets executions end")
	f.StringVar(&c.LocalRemoteRoot, "local-remote-root", "", "`folder` under which remotes of type local exist (default none)")
	f.StringSliceVar(&c.EgressAllow, "egress-allow", nil, "`networks` that tasks may reach although they are loopback, private or link-local")
	f.IntVar(&c.Concurrency, "concurrency", c.Concurrency, "how many executions this process runs at once")
	f.IntVar(&c.InstanceConcurrency, "instance-concurrency", 0, "how many of them one instance may have, 0 for nine tenths")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text or json")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.BoolVar(&c.Demo, "demo", false, "seed an empty database with a demo")
	return cmd
}

// optionalBool is a flag that knows whether it was given.
type optionalBool struct{ value **bool }

func (b optionalBool) String() string {
	if b.value == nil || *b.value == nil {
		return ""
	}
	return strconv.FormatBool(**b.value)
}

func (b optionalBool) Set(text string) error {
	v, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	*b.value = &v
	return nil
}

func (b optionalBool) Type() string { return "bool" }
