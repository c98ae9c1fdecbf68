package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/doctor"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

// inspectEvery is the time between two looks for broken promises.
const inspectEvery = time.Minute

type (
	// DoctorOptions bound what Doctor looks at.
	DoctorOptions = doctor.Options
	// DoctorReport is what Doctor finds.
	DoctorReport = doctor.Report
	// DoctorViolation is one thing that it found.
	DoctorViolation = doctor.Violation
)

// DefaultDoctorOptions are those of `carillon doctor`.
func DefaultDoctorOptions() DoctorOptions { return doctor.DefaultOptions() }

// Doctor looks for broken promises of the engine in the database, whether or
// not a server runs on it. It writes nothing.
func Doctor(ctx context.Context, c Config, o DoctorOptions) (report DoctorReport, err error) {
	s, err := entstore.Open(ctx, entstore.Options{URL: c.databaseURL(), ReadOnly: true, Timeout: time.Minute})
	if err != nil {
		return report, fmt.Errorf("--database-url: %w", err)
	}
	defer func() { _ = s.Close() }() // nothing was written
	pending, err := s.Pending(ctx)
	if err != nil {
		return report, fmt.Errorf("--database-url: %w", err)
	}
	if len(pending) > 0 {
		return report, fmt.Errorf("the database lacks migrations (%s): use the program that serves it, or run `carillon migrate`", strings.Join(pending, ", "))
	}
	return doctor.Check(ctx, s, o)
}

// inspector looks for broken promises as long as this process looks for due
// jobs.
func (s *Server) inspector() *doctor.Scanner {
	kinds := make([]string, 0, len(doctor.Kinds()))
	for _, kind := range doctor.Kinds() {
		kinds = append(kinds, string(kind))
	}
	set := telemetry.NewInvariants(s.registry, kinds...)
	return &doctor.Scanner{
		Store: s.store, Every: inspectEvery, Log: s.log,
		Set: func(kind doctor.Kind, n int) { set(string(kind), n) },
	}
}
