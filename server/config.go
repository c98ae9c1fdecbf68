package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	units "github.com/docker/go-units"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/oidc"
	"github.com/pointscene/carillon/server/internal/remote/acc"
	"github.com/pointscene/carillon/server/internal/seal/kms"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

// The parts of the service that a process can run.
const (
	// RoleAPI serves gRPC.
	RoleAPI = "api"
	// RoleTicker looks for due jobs.
	RoleTicker = "ticker"
	// RoleExecutor runs executions.
	RoleExecutor = "executor"
	// RoleFacade serves HTTP.
	RoleFacade = "facade"
)

// Roles lists all parts.
func Roles() []string { return []string{RoleAPI, RoleTicker, RoleExecutor, RoleFacade} }

// Config is everything that a process can be told. The zero value is not
// usable: begin with DefaultConfig.
type Config struct {
	// DataDir holds the embedded database, keys, logs and work files.
	DataDir string
	// DatabaseURL is postgres://… or file:…; empty means SQLite in DataDir.
	DatabaseURL string
	// Migrate applies migrations at start; nil means only on SQLite.
	Migrate *bool
	// GRPCAddr, HTTPAddr and AdminAddr are host:port; port 0 picks a free one.
	GRPCAddr, HTTPAddr, AdminAddr string
	// PublicURL is how outsiders reach the HTTP door; empty means HTTPAddr.
	PublicURL string
	// Roles are the parts that this process runs.
	Roles []string
	// APIAddr is the gRPC address that a process with only the facade dials.
	APIAddr string
	// Keyset is the file of the key-encryption keyset; empty means in DataDir.
	Keyset string
	// KeysetKMS is the URL of the KMS key that wraps Keyset; empty means that
	// the file lies in the clear.
	KeysetKMS string
	// TLSCert and TLSKey are PEM files; with them every door speaks TLS.
	TLSCert, TLSKey string
	// ClientCA is a PEM file with the authorities of client certificates on the
	// gRPC door.
	ClientCA string
	// ClientCertScopes are NAME=SCOPES: what the certificate with this name may
	// do.
	ClientCertScopes []string
	// OIDCIssuer is the URL of the outside issuer that is trusted instead of the
	// embedded one; empty for none. OIDCAudience must be among its tokens'.
	OIDCIssuer, OIDCAudience string
	// OIDCTokenType is at+jwt or jwt.
	OIDCTokenType string
	// OIDCScopeClaim is the claim that tells scopes, OIDCScopeMap VALUE=SCOPES
	// what its values stand for; empty means that they are scopes.
	OIDCScopeClaim string
	OIDCScopeMap   []string
	// InsecureListen allows doors beyond loopback in plain text, and to dial
	// APIAddr so.
	InsecureListen bool
	// APICA is a PEM file with the authorities of APIAddr's certificate; empty
	// means the system's.
	APICA string
	// LogStore is file://… or s3://…; empty means under DataDir.
	LogStore string
	// HistoryRetention is how long executions and logs are kept.
	HistoryRetention time.Duration
	// ApprovalTimeout is how long an execution that a guard has stopped waits
	// for somebody to approve or reject its plan.
	ApprovalTimeout time.Duration
	// AuditRetention is how long audit events are kept.
	AuditRetention time.Duration
	// Limits are those of instances that the operator gave none.
	Limits job.Limits
	// ClientRate and InstanceRate bound the work of each client and for each
	// instance, in units a second; 0 is no limit.
	ClientRate, InstanceRate int
	// MaxConnections bounds the connections to each door, and those of one
	// address among them.
	MaxConnections, MaxConnectionsPerAddress int
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is
	// believed.
	TrustedProxies []string
	// DrainTimeout is how long a stop lets executions end.
	DrainTimeout time.Duration
	// LocalRemoteRoot is the folder that remotes of type local are confined
	// to; empty means that there are none.
	LocalRemoteRoot string
	// EgressAllow are networks that tasks may reach although they are private.
	EgressAllow []string
	// APSClientID and APSClientSecret are the server's app at Autodesk, for
	// remotes that bring none of their own.
	APSClientID, APSClientSecret string
	// APSEndpoint is where Autodesk Platform Services are.
	APSEndpoint string
	// APSRateFactor is the share of an app's documented limits that this process
	// uses.
	APSRateFactor float64
	// Concurrency is how many executions this process runs at once.
	Concurrency int
	// InstanceConcurrency is how many of them one instance may have; 0 means
	// nine tenths, so that no instance can keep the others out.
	InstanceConcurrency int
	// WorkLimit bounds the work directory of one execution, WorkTotalLimit those
	// of all that run in this process: 512MiB, 10GiB.
	WorkLimit, WorkTotalLimit string
	// LogFormat is text or json, LogLevel debug, info, warn or error.
	LogFormat, LogLevel string
	// Demo seeds an empty database and tells how to call it.
	Demo bool
	// Out is where the demo tells that; nil means the standard output.
	Out io.Writer
	// Version is the program's.
	Version string
	// Log is where the process logs to; nil means the standard error.
	Log *slog.Logger
}

// DefaultConfig is what `carillon serve` does without flags.
func DefaultConfig() Config {
	return Config{
		DataDir:                  "./data",
		GRPCAddr:                 "127.0.0.1:9090",
		HTTPAddr:                 "127.0.0.1:8080",
		AdminAddr:                "127.0.0.1:9091",
		Roles:                    Roles(),
		HistoryRetention:         2160 * time.Hour,
		ApprovalTimeout:          7 * 24 * time.Hour,
		AuditRetention:           8760 * time.Hour,
		ClientRate:               1000,
		InstanceRate:             1000,
		MaxConnections:           10_000,
		MaxConnectionsPerAddress: 1000,
		DrainTimeout:             30 * time.Second,
		APSEndpoint:              acc.DefaultEndpoint,
		APSRateFactor:            1,
		Concurrency:              2000,
		WorkLimit:                "10GiB",
		WorkTotalLimit:           "50GiB",
		OIDCTokenType:            oidc.TypeAccessToken,
		OIDCScopeClaim:           "scope",
		LogFormat:                "text",
		LogLevel:                 "info",
		Version:                  "unknown",
	}
}

// Validate tells everything that is wrong, each with its flag.
func (c *Config) Validate() error {
	var problems []error
	wrong := func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	c.checkStorage(wrong)
	if c.LogStore != "" && !strings.HasPrefix(c.LogStore, "file://") && !strings.HasPrefix(c.LogStore, "s3://") {
		wrong("log-store", "must begin with file:// or s3://")
	}
	if _, err := telemetry.NewLogger(io.Discard, c.LogFormat, c.LogLevel); err != nil {
		wrong("log-format, --log-level", "%v", err)
	}
	c.checkAddr(wrong, "grpc-addr", c.GRPCAddr)
	c.checkAddr(wrong, "http-addr", c.HTTPAddr)
	c.checkAddr(wrong, "admin-addr", c.AdminAddr)
	c.checkTLS(wrong)
	c.checkOIDC(wrong)
	c.checkRoles(wrong)
	if c.PublicURL != "" && !httpAddress(c.PublicURL) {
		wrong("public-url", "must be an http or https address without query, such as https://carillon.example.com")
	}
	if c.Demo && c.LocalRemoteRoot == "" {
		wrong("demo", "needs --local-remote-root, a folder for the files that the demo job syncs")
	}
	if c.HistoryRetention < time.Hour {
		wrong("history-retention", "%s is too short; at least 1h", c.HistoryRetention)
	}
	if c.ApprovalTimeout < time.Second {
		wrong("approval-timeout", "%s is too short; at least 1s", c.ApprovalTimeout)
	}
	c.checkLimits(wrong)
	if c.DrainTimeout < 0 {
		wrong("drain-timeout", "must not be negative")
	}
	if c.Concurrency < 1 || c.Concurrency > 100_000 {
		wrong("concurrency", "%d is out of range; 1 to 100000", c.Concurrency)
	}
	if c.InstanceConcurrency < 0 || c.InstanceConcurrency > c.Concurrency {
		wrong("instance-concurrency", "%d is out of range; 0 (nine tenths of --concurrency) to %d", c.InstanceConcurrency, c.Concurrency)
	}
	if _, err := egress.ParsePrefixes(c.EgressAllow); err != nil {
		wrong("egress-allow", "%v", err)
	}
	if _, _, err := c.workLimits(); err != nil {
		problems = append(problems, err)
	}
	c.checkAPS(wrong)
	return errors.Join(problems...)
}

// workLimits are the limits of work directories in bytes.
func (c *Config) workLimits() (limit, total int64, err error) {
	const least = 1 << 20
	if limit, err = units.RAMInBytes(c.WorkLimit); err != nil || limit < least {
		return 0, 0, fmt.Errorf("--work-limit: %q is not a size of at least 1MiB, such as 512MiB or 10GiB", c.WorkLimit)
	}
	if total, err = units.RAMInBytes(c.WorkTotalLimit); err != nil || total < limit {
		return 0, 0, fmt.Errorf("--work-total-limit: %q is not a size, such as 50GiB, of at least --work-limit", c.WorkTotalLimit)
	}
	return limit, total, nil
}

// httpAddress tells whether a text is an http or https address to which a path
// can be added.
func httpAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// checkAPS never repeats the secret.
func (c *Config) checkAPS(wrong func(flag, format string, args ...any)) {
	if (c.APSClientID == "") != (c.APSClientSecret == "") {
		wrong("aps-client-id, --aps-client-secret", "belong together: give both or none")
	}
	if !httpAddress(c.APSEndpoint) {
		wrong("aps-endpoint", "must be an http or https address without query, such as %s", acc.DefaultEndpoint)
	}
	if !(c.APSRateFactor >= 0.1 && c.APSRateFactor <= 1000) {
		wrong("aps-rate-factor", "%v is out of range; 0.1 to 1000", c.APSRateFactor)
	}
}

// checkLimits refuses limits that are none. 0 means no limit.
func (c *Config) checkLimits(wrong func(flag, format string, args ...any)) {
	if c.AuditRetention < time.Hour {
		wrong("audit-retention", "%s is too short; at least 1h", c.AuditRetention)
	}
	for flag, value := range map[string]int{
		"quota-jobs": int(c.Limits.Jobs), "quota-executions-per-hour": int(c.Limits.ExecutionsPerHour), "quota-log-mebibytes": int(c.Limits.LogMebibytes),
		"quota-min-interval": int(c.Limits.MinIntervalMinutes), "client-rate": c.ClientRate, "instance-rate": c.InstanceRate,
	} {
		if value < 0 {
			wrong(flag, "must not be negative; 0 means no limit")
		}
	}
	if c.MaxConnections < 1 {
		wrong("max-connections", "must be at least 1")
	}
	if c.MaxConnectionsPerAddress < 1 {
		wrong("max-connections-per-address", "must be at least 1")
	}
	if _, err := egress.ParsePrefixes(c.TrustedProxies); err != nil {
		wrong("trusted-proxies", "%v", err)
	}
}

// ValidateStorage is the part of Validate that concerns a command which opens
// the database and the keyset, and serves nothing.
func (c *Config) ValidateStorage() error {
	var problems []error
	c.checkStorage(func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	})
	return errors.Join(problems...)
}

// checkStorage never repeats a URL: it may hold a password.
func (c *Config) checkStorage(wrong func(flag, format string, args ...any)) {
	if c.DataDir == "" {
		wrong("data-dir", "must not be empty")
	}
	known := func(prefix string) bool { return strings.HasPrefix(c.DatabaseURL, prefix) }
	if c.DatabaseURL != "" && !slices.ContainsFunc([]string{"postgres://", "postgresql://", "file:"}, known) {
		wrong("database-url", "must begin with postgres:// or file:")
	}
	if c.KeysetKMS != "" {
		if err := kms.Check(c.KeysetKMS); err != nil {
			wrong("keyset-kms", "%v", err)
		}
	}
}

// checkAddr refuses plain text beyond loopback, unless asked for by name: bearer
// tokens must not travel in the clear.
func (c *Config) checkAddr(wrong func(flag, format string, args ...any), flag, addr string) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		wrong(flag, "%q is not host:port", addr)
		return
	}
	if !loopback(addr) && c.TLSCert == "" && !c.InsecureListen {
		wrong(flag, "%q is not a loopback address, and tokens must not travel in plain text: "+
			"set --tls-cert and --tls-key, or --insecure-listen where a TLS proxy is in front", addr)
	}
}

func (c *Config) checkRoles(wrong func(flag, format string, args ...any)) {
	if len(c.Roles) == 0 {
		wrong("roles", "name at least one of %s", strings.Join(Roles(), ", "))
	}
	for _, role := range c.Roles {
		if !slices.Contains(Roles(), role) {
			wrong("roles", "%q is not known; choose from %s", role, strings.Join(Roles(), ", "))
		}
	}
	if c.facadeOnly() && c.APIAddr == "" {
		wrong("api-addr", "is needed by a process with only the role facade")
	}
	if c.sqlite() && !c.facadeOnly() && len(c.Roles) > 0 && (!c.has(RoleTicker) || !c.has(RoleExecutor) || !c.has(RoleAPI)) {
		wrong("roles", "SQLite belongs to one process, which needs api, ticker and executor; use PostgreSQL to part them")
	}
}

func (c *Config) perInstance() int {
	if c.InstanceConcurrency > 0 {
		return c.InstanceConcurrency
	}
	return max(1, c.Concurrency*9/10)
}

// claimBatch is how many executions one claim takes at most. It is never more than
// one instance may have: a ticker with a herd waits until half of it is free.
func (c *Config) claimBatch() int { return min(mostClaimed, c.perInstance()) }

func (c *Config) has(role string) bool { return slices.Contains(c.Roles, role) }

// facadeOnly tells whether the process needs no database.
func (c *Config) facadeOnly() bool {
	return c.has(RoleFacade) && !c.has(RoleAPI) && !c.has(RoleTicker) && !c.has(RoleExecutor)
}

func (c *Config) sqlite() bool {
	return c.DatabaseURL == "" || strings.HasPrefix(c.DatabaseURL, "file:")
}

func (c *Config) databaseURL() string {
	if c.DatabaseURL != "" {
		return c.DatabaseURL
	}
	return "file:" + inURI.Replace(filepath.Join(c.DataDir, "carillon.db"))
}

// inURI writes a path so that no part of it is taken for a query or a fragment.
var inURI = strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23")

func (c *Config) migrate() bool {
	if c.Migrate != nil {
		return *c.Migrate
	}
	return c.sqlite()
}

func (c *Config) keyset() string {
	if c.Keyset != "" {
		return c.Keyset
	}
	return filepath.Join(c.DataDir, "keys", "keyset.json")
}

func (c *Config) logStore() (string, error) {
	if c.LogStore != "" {
		return c.LogStore, nil
	}
	return executionlog.FolderURL(filepath.Join(c.DataDir, "logs"))
}
