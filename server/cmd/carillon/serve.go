package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
			telemetry.TradeMemoryForTime()
			s, err := server.New(cmd.Context(), c)
			if err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	commonFlags(cmd, &c, c.Validate)
	f := cmd.Flags()
	doorFlags(f, &c)
	identityFlags(f, &c)
	limitFlags(f, &c)
	historyFlags(f, &c)
	taskFlags(f, &c)
	f.Var(optionalBool{&c.Migrate}, "migrate", "apply migrations at start (default true on SQLite, false on PostgreSQL)")
	f.Lookup("migrate").NoOptDefVal = "true"
	f.StringSliceVar(&c.Roles, "roles", c.Roles, "which `parts` this process runs")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "how long SIGTERM lets executions end")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text or json")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.BoolVar(&c.Demo, "demo", false, "seed an empty database with a demo")
	return cmd
}

// doorFlags are where the doors are and who gets as far as them.
func doorFlags(f *pflag.FlagSet, c *server.Config) {
	f.StringVar(&c.GRPCAddr, "grpc-addr", c.GRPCAddr, "`host:port` of the gRPC door; port 0 picks a free one")
	f.StringVar(&c.HTTPAddr, "http-addr", c.HTTPAddr, "`host:port` of the HTTP door (REST, GraphQL)")
	f.StringVar(&c.AdminAddr, "admin-addr", c.AdminAddr, "`host:port` of metrics, health and pprof")
	f.StringVar(&c.PublicURL, "public-url", "", "`address` by which outsiders reach the HTTP door (default from --http-addr)")
	f.StringVar(&c.APIAddr, "api-addr", "", "`host:port` of the gRPC door that a process with only the facade dials")
	f.StringVar(&c.APICA, "api-ca", "", "PEM `file` with the authorities of --api-addr's certificate (default the system's)")
	f.StringVar(&c.TLSCert, "tls-cert", "", "PEM `file` with the doors' certificate and what leads to its root; read again when it changes")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM `file` with the certificate's key")
	f.BoolVar(&c.InsecureListen, "insecure-listen", false, "allow plain text beyond loopback, behind a TLS proxy")
	f.IntVar(&c.MaxConnections, "max-connections", c.MaxConnections, "how many connections each door takes at once")
	f.IntVar(&c.MaxConnectionsPerAddress, "max-connections-per-address", c.MaxConnectionsPerAddress, "how many of them one address may have, or an IPv6 network of 64 bits")
	f.StringSliceVar(&c.TrustedProxies, "trusted-proxies", nil, "`networks` of proxies whose X-Forwarded-For is believed")
}

// identityFlags say whose certificates and tokens are trusted, besides those of the
// embedded issuer.
func identityFlags(f *pflag.FlagSet, c *server.Config) {
	f.StringVar(&c.ClientCA, "client-ca", "", "PEM `file` with the authorities of client certificates on the gRPC door")
	f.StringSliceVar(&c.ClientCertScopes, "client-cert-scopes", nil, "`NAME=SCOPES` that client certificates with this name have, space separated")
	f.StringVar(&c.OIDCIssuer, "oidc-issuer", "", "`URL` of an outside OpenID Connect issuer to trust instead of the embedded one")
	f.StringVar(&c.OIDCAudience, "oidc-audience", "", "audience that its tokens must name")
	f.StringVar(&c.OIDCTokenType, "oidc-token-type", c.OIDCTokenType, "type in its tokens' header, at+jwt or jwt")
	f.StringVar(&c.OIDCScopeClaim, "oidc-scope-claim", c.OIDCScopeClaim, "claim, or path of claims with dots, that tells scopes")
	f.StringSliceVar(&c.OIDCScopeMap, "oidc-scope-map", nil, "`VALUE=SCOPES` that values of the claim stand for, space separated (default the values are scopes)")
}

// limitFlags bound what instances, callers and executions may take.
func limitFlags(f *pflag.FlagSet, c *server.Config) {
	f.Int32Var(&c.Limits.Jobs, "quota-jobs", 0, "how many jobs an instance may have, 0 for any number")
	f.Int32Var(&c.Limits.ExecutionsPerHour, "quota-executions-per-hour", 0, "how many executions an instance may begin in an hour, 0 for any number")
	f.Int32Var(&c.Limits.LogMebibytes, "quota-log-mebibytes", 0, "how many MiB the logs of an instance may take, 0 for any number")
	f.Int32Var(&c.Limits.MinIntervalMinutes, "quota-min-interval", 0, "how many minutes lie between two times of a schedule at least, 0 for no limit")
	f.IntVar(&c.ClientRate, "client-rate", c.ClientRate, "how many units of work a client may ask for in a second, 0 for any number")
	f.IntVar(&c.InstanceRate, "instance-rate", c.InstanceRate, "how many units of work all clients together may ask of an instance in a second, 0 for any number")
	f.IntVar(&c.Concurrency, "concurrency", c.Concurrency, "how many executions this process runs at once")
	f.IntVar(&c.InstanceConcurrency, "instance-concurrency", 0, "how many of them one instance may have, 0 for nine tenths")
	f.StringVar(&c.WorkLimit, "work-limit", c.WorkLimit, "the most `bytes` of files that tasks of one execution may pass to each other")
	f.StringVar(&c.WorkTotalLimit, "work-total-limit", c.WorkTotalLimit, "the same for all executions of this process together")
}

// historyFlags say what is kept, where and for how long.
func historyFlags(f *pflag.FlagSet, c *server.Config) {
	f.StringVar(&c.LogStore, "log-store", "", "where execution logs go, `file://… or s3://…` (default under the data dir)")
	f.DurationVar(&c.HistoryRetention, "history-retention", c.HistoryRetention, "how long executions and their logs are kept")
	f.DurationVar(&c.ApprovalTimeout, "approval-timeout", c.ApprovalTimeout, "how long an execution waits for its plan to be approved or rejected")
	f.DurationVar(&c.AuditRetention, "audit-retention", c.AuditRetention, "how long audit events are kept")
}

// taskFlags are what tasks may reach, and by which credentials of the server.
func taskFlags(f *pflag.FlagSet, c *server.Config) {
	f.StringVar(&c.LocalRemoteRoot, "local-remote-root", "", "`folder` under which remotes of type local exist (default none)")
	f.StringVar(&c.APSClientID, "aps-client-id", "", "`id` of the server's app at Autodesk, for remotes of type acc that bring none")
	f.StringVar(&c.APSClientSecret, "aps-client-secret", "", "`secret` of that app; better given by the environment or --config")
	f.StringVar(&c.APSEndpoint, "aps-endpoint", c.APSEndpoint, "`URL` of Autodesk Platform Services")
	f.Float64Var(&c.APSRateFactor, "aps-rate-factor", c.APSRateFactor, "`share` of an app's documented limits per minute that this process uses")
	f.StringSliceVar(&c.EgressAllow, "egress-allow", nil, "`networks` that tasks may reach although they are loopback, private or link-local")
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
