package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pointscene/carillon/server/internal/configs"
	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/executor"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/lease"
	"github.com/pointscene/carillon/server/internal/logquota"
	"github.com/pointscene/carillon/server/internal/notice"
	"github.com/pointscene/carillon/server/internal/notifier"
	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/retention"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/grpccall"
	"github.com/pointscene/carillon/server/internal/task/httprequest"
	"github.com/pointscene/carillon/server/internal/task/syncfiles"
	"github.com/pointscene/carillon/server/internal/task/util"
	"github.com/pointscene/carillon/server/internal/task/webdownload"
	"github.com/pointscene/carillon/server/internal/telemetry"
	"github.com/pointscene/carillon/server/internal/ticker"
	"github.com/pointscene/carillon/server/internal/webhooks"
	"github.com/pointscene/carillon/server/internal/workdir"
)

const (
	// lookEvery is the longest time between looks for work while there is some.
	// While there is none, each heartbeat looks, and after lookIdle the ticker does
	// without one; lookAhead is how long before its time a slot is claimed.
	lookEvery = 250 * time.Millisecond
	lookIdle  = 5 * time.Second
	lookAhead = 500 * time.Millisecond
	// mostClaimed is how many executions one transaction claims at most.
	mostClaimed = 1000
	// reportAfter is how long an execution runs before its start is reported.
	reportAfter = 100 * time.Millisecond
	// pruneEvery is the time between two rounds of retention.
	pruneEvery = 10 * time.Minute
	// noticesEvery is the time between looks for notices while there are webhooks.
	// While there are none, or nothing is to be sent, every other heartbeat looks,
	// and noticesIdle is the longest time without one.
	noticesEvery = time.Second
	noticesIdle  = 10 * time.Second
	// countEvery is the time between counts of remotes that need credentials.
	countEvery = time.Minute
	// storeEndsFor is how long a stop waits for the database to take the ends.
	storeEndsFor = 5 * time.Second
)

// openEngine makes the task types and whatever runs executions; nothing runs
// before start.
func (s *Server) openEngine(ctx context.Context) error {
	guard, err := s.openGuard()
	if err != nil {
		return err
	}
	if err := s.openTypes(guard); err != nil {
		return err
	}
	s.configs = configs.New(s.store, s.authorizer, s.keyring, remote.ParseConfig, remote.Facts, now)
	s.configs.TestWith(s.remotes.Test)
	o := lease.DefaultOptions()
	o.Name = processName()
	o.Now, o.Log = time.Now, s.log
	o.Adopt = func(lost []store.Lost) { s.executor.Adopt(lost) }
	o.Lost = func(cause error) { s.executor.AbandonAll(cause) }
	o.Settle = func(ctx context.Context) { s.executor.Settle(ctx) }
	o.Listening, o.Beat = s.store.Listening, s.beats()
	s.lease = lease.New(s.store, o)
	if !s.runsJobs() {
		if err := s.lease.ReadClock(ctx); err != nil {
			return fmt.Errorf("--database-url: %w", err)
		}
	}
	s.logQuota = logquota.New(s.store, s.logs, s.log)
	metrics := telemetry.NewEngine(s.registry, func() int { return s.executor.Taken() })
	work, err := s.openWork()
	if err != nil {
		return err
	}
	s.executor = executor.New(executor.Options{
		Store: restful{s.store, func() bool { return s.ticker.Quiet() }}, Types: s.types, Logs: s.logQuota, Work: work,
		Configs: func(instanceID, executionID int64, mask func(...string)) task.Configs {
			return maskedConfigs{s.configs.For(instanceID, executionID), mask}
		},
		CheckResources: s.checkResources, ApprovalTimeout: s.c.ApprovalTimeout,
		Now: s.lease.Now, Owner: s.lease.ID, Places: s.c.Concurrency, PerInstance: s.c.perInstance(), ReportAfter: reportAfter, Exact: true, Metrics: metrics, Log: s.log,
	})
	tick := ticker.Options{
		Store: s.store, Lease: s.lease, Schedules: s.c.has(RoleTicker),
		Every: lookEvery, Idle: lookIdle, Ahead: lookAhead, Batch: s.c.claimBatch(), Metrics: metrics, Log: s.log,
	}
	if s.c.has(RoleExecutor) {
		tick.Places = s.executor
	}
	s.ticker = ticker.New(tick)
	s.openNotices(guard)
	s.pruner = &retention.Pruner{Store: s.store, Logs: s.logs, Keep: s.c.HistoryRetention, KeepAudit: s.c.AuditRetention, Every: pruneEvery, Now: s.lease.Now, Log: s.log}
	return nil
}

// openWork makes the folder of the executions' work directories, and removes
// what a crash left in it.
func (s *Server) openWork() (*workdir.Store, error) {
	limit, total, err := s.c.workLimits()
	if err != nil {
		return nil, err
	}
	work, err := workdir.Open(workdir.Options{Folder: filepath.Join(s.c.DataDir, "work"), Limit: limit, Total: total})
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	s.later("work directories", func(context.Context) error { return work.Close() })
	return work, nil
}

// openGuard makes the one way out for what is done on behalf of users.
func (s *Server) openGuard() (*egress.Guard, error) {
	allow, err := egress.ParsePrefixes(s.c.EgressAllow)
	if err != nil {
		return nil, fmt.Errorf("--egress-allow: %w", err)
	}
	return egress.New(egress.Options{Allow: allow}), nil
}

// openNotices makes what tells webhooks of changes.
func (s *Server) openNotices(guard *egress.Guard) {
	s.webhooks = webhooks.New(s.store, s.authorizer, s.keyring, s.lease.Now)
	metrics := telemetry.NewNotices(s.registry)
	s.sender = notifier.NewSender(notifier.SenderOptions{
		Store: s.store, Secrets: s.webhooks, Transport: guard.Transport(), Every: noticesEvery, Idle: noticesIdle, Listening: s.store.Listening,
		Now: s.lease.Now, Metrics: metrics, Log: s.log,
	})
	s.watcher = notifier.NewWatcher(notifier.Watcher{
		Store: s.store, Deriver: notice.Deriver{PublicURL: s.doors.publicURL}, Every: noticesEvery, Idle: noticesIdle, Listening: s.store.Listening,
		Metrics: metrics, Made: s.sender.Wake, Log: s.log,
	})
}

// openTypes makes the registry of task types, whose outgoing calls all go
// through one guard.
func (s *Server) openTypes(guard *egress.Guard) error {
	if s.c.LocalRemoteRoot != "" {
		if err := os.MkdirAll(s.c.LocalRemoteRoot, 0o750); err != nil {
			return fmt.Errorf("--local-remote-root: %w", err)
		}
	}
	remotes, err := remote.New(remote.Options{Dial: guard.DialContext, LocalRoot: s.c.LocalRemoteRoot, Log: s.log,
		App: remote.App{ClientID: s.c.APSClientID, ClientSecret: s.c.APSClientSecret, Endpoint: s.c.APSEndpoint, RateFactor: s.c.APSRateFactor}})
	if err != nil {
		return fmt.Errorf("--local-remote-root: %w", err)
	}
	s.later("remotes", func(context.Context) error { return remotes.Close() })
	types := []task.Type{httprequest.New(guard.Client()), webdownload.New(guard.Client()), grpccall.New(guard.DialContext), util.Sleep{}, util.Noop{}}
	s.remotes = remotes
	s.types = task.NewRegistry(append(types, syncfiles.Types(remotes)...)...)
	return nil
}

// runsJobs tells whether this process claims anything.
func (s *Server) runsJobs() bool { return s.c.has(RoleTicker) || s.c.has(RoleExecutor) }

// startEngine registers the replica and starts the loops.
func (s *Server) startEngine(ctx context.Context) {
	if s.store == nil {
		return
	}
	if s.c.has(RoleAPI) {
		s.engine.Go(func() { s.pruner.Run(ctx) })
	}
	if !s.runsJobs() {
		s.engine.Go(func() { s.lease.Follow(ctx) })
		return
	}
	s.executor.Start()
	if err := s.lease.Register(ctx); err != nil {
		// The keeper tries again with every heartbeat.
		s.log.Warn("can't register as a replica; trying again", "error", err)
	}
	s.engine.Go(func() { s.logQuota.Run(ctx) })
	s.engine.Go(func() { s.lease.Run(ctx) })
	s.engine.Go(func() { _ = s.store.Listen(ctx, s.handle) }) // it ends with ctx
	if s.c.has(RoleExecutor) {
		s.engine.Go(func() { s.sender.Run(ctx) })
	}
	if s.c.has(RoleTicker) {
		s.engine.Go(func() { s.watcher.Run(ctx) })
		inspector := s.inspector()
		s.engine.Go(func() { inspector.Run(ctx) })
		counter := &configs.Counter{Store: s.store, Every: countEvery, Now: s.lease.Now, Set: telemetry.NewRemotes(s.registry), Log: s.log}
		s.engine.Go(func() { counter.Run(ctx) })
	}
	claiming, stopClaims := context.WithCancel(ctx)
	s.stopClaims = stopClaims
	s.claims.Go(func() { s.ticker.Run(claiming) })
}

// beats answers what each heartbeat does: it wakes who looks now and then. Together
// they cost a process and a database that have nothing to do less than each alone.
func (s *Server) beats() func() {
	second := false
	return func() {
		s.ticker.Wake()
		if second = !second; second {
			s.rotation.Wake()
			return
		}
		s.watcher.Wake()
		s.sender.Wake()
	}
}

// handle acts on a signal from this or another replica.
func (s *Server) handle(sig store.Signal) {
	switch sig.Kind {
	case store.SignalDue:
		s.ticker.Wake()
	case store.SignalCancel:
		s.executor.Cancel(sig.ID)
	case store.SignalWithdraw:
		s.executor.Withdraw(sig.ID)
	case store.SignalReplica:
		s.lease.Wake()
	case store.SignalWebhook:
		s.watcher.Wake()
	case store.SignalDelivery:
		s.sender.Wake()
	case store.SignalKeys:
		s.rotation.Wake()
	case store.SignalMissed:
		s.ticker.Wake()
		s.lease.Wake()
		s.watcher.Wake()
		s.sender.Wake()
		s.rotation.Wake()
	}
}

// stopEngine ends the claims, lets executions end, and gives the lease up.
func (s *Server) stopEngine() {
	if s.stopClaims == nil {
		return
	}
	s.stopClaims()
	s.claims.Wait()
	drain, cancel := context.WithTimeout(context.Background(), s.c.DrainTimeout)
	defer cancel()
	s.executor.Drain(drain, storeEndsFor)
	leaving, cancel := context.WithTimeout(context.Background(), storeEndsFor)
	defer cancel()
	if err := s.lease.Leave(leaving); err != nil {
		s.log.Warn("can't give the lease up; it ends by itself", "error", err)
	}
}

// checkResources refuses a workflow that names resources outside its instance:
// what was checked when it was stored is checked again when it runs.
func (s *Server) checkResources(ctx context.Context, instanceID int64, refs []task.ResourceRef) error {
	return s.jobs.CheckResources(ctx, instanceID, refs)
}

// restful spares the database what the executor asks again and again, while the
// ticker has seen that nothing is active.
type restful struct {
	*entstore.Store
	quiet func() bool
}

// Owned implements executor.Store.
func (r restful) Owned(ctx context.Context, owner int64) ([]store.Owned, error) {
	if r.quiet() {
		return nil, nil
	}
	return r.Store.Owned(ctx, owner)
}

// ExpireApprovals implements executor.Store.
func (r restful) ExpireApprovals(ctx context.Context, now time.Time, limit int, why job.Failure) ([]int64, error) {
	if r.quiet() {
		return nil, nil
	}
	return r.Store.ExpireApprovals(ctx, now, limit, why)
}

// maskedConfigs hides the secrets of what it opens from the execution's log.
type maskedConfigs struct {
	task.Configs
	mask func(...string)
}

// Remote implements task.Configs.
func (m maskedConfigs) Remote(ctx context.Context, resourceID, name string) (task.RemoteConfig, error) {
	opened, err := m.Configs.Remote(ctx, resourceID, name)
	for key, value := range opened.Options {
		if remote.IsSecret(opened.Type, key) {
			m.mask(value)
		}
	}
	if renew := opened.Renew; renew != nil {
		opened.Renew = func(ctx context.Context, fresh func(map[string]string) bool, exchange task.Exchange) (string, error) {
			token, err := renew(ctx, fresh, exchange)
			m.mask(token)
			return token, err
		}
	}
	if save := opened.Save; save != nil {
		opened.Save = func(ctx context.Context, key, value string) error {
			m.mask(value)
			return save(ctx, key, value)
		}
	}
	return opened, err
}
