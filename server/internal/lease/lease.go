// Package lease keeps this process's place among the replicas of one database:
// its lease, its idea of the database's time, and the burial of replicas that
// died.
//
// Rules:
//   - The database's clock is the authority. [Keeper.Now] is its time as of the
//     last renewal, carried on by the local monotonic clock, so a step of the
//     local wall clock changes nothing. It steps back only when the database's
//     clock does.
//   - One renewal a heartbeat, however many executions run. A renewal that was
//     asked for counts from before it was asked, so a slow answer shortens the
//     lease instead of stretching it.
//   - A replica that can't renew counts itself out a margin before others may:
//     it calls Lost, which ends what it runs, and only then registers anew. What
//     had ended before and could not be stored is stored first (Settle): buried,
//     it would be lost.
//   - While the database is away nobody can renew. When it is back, everybody
//     gets a lease's time to store what has ended and to register anew, before
//     anybody is buried because a lease has ended.
//   - A process that runs nothing has no lease, and follows the same clock.
//   - What a replica adopts from a dead one is handed to Adopt at once; it is
//     the executor's to end.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Options of a Keeper. Durations must be positive.
type Options struct {
	// Name tells people which process this is.
	Name string
	// Lease is how long a replica lives without a renewal.
	Lease time.Duration
	// Heartbeat is the time between renewals, at most a third of Lease.
	Heartbeat time.Duration
	// Margin is how long before the lease's end the replica counts itself out.
	Margin time.Duration
	// BuryEvery is the time between looks for dead replicas. A replica that has
	// been alone for longer than a lease looks after each heartbeat, until another
	// one registers.
	BuryEvery time.Duration
	// Listening tells whether Wake is called when a replica registers.
	Listening func() bool
	// Beat is called after each renewal, also of the time alone; nil for nothing.
	Beat func()
	// Now is the local clock.
	Now func() time.Time
	// Adopt takes the executions of buried replicas.
	Adopt func([]store.Lost)
	// Lost is called when the lease is lost; it returns when nothing of this
	// replica runs any more.
	Lost func(cause error)
	// Settle is called before a replica registers anew. It returns when the ends
	// that it knows are stored, or when ctx ends: once the former replica is
	// buried they would be refused.
	Settle func(ctx context.Context)
	Log    *slog.Logger
}

// DefaultOptions are those of a server.
func DefaultOptions() Options {
	return Options{Lease: 10 * time.Second, Heartbeat: 3 * time.Second, Margin: 2 * time.Second, BuryEvery: 200 * time.Millisecond}
}

// Keeper holds one lease after another.
type Keeper struct {
	store store.Replicas
	o     Options

	mu sync.Mutex
	id int64
	// until is when, by the local clock, the replica counts itself out.
	until time.Time
	// clock is never nil. Every execution asks for the time several times.
	clock atomic.Pointer[clock]
	// left is once the lease was given up: there is none to renew or to lose.
	left atomic.Bool
	// blind is while the looks for dead replicas fail.
	blind atomic.Bool
	// wake makes the look for dead replicas come now, and beats tells it of
	// renewals.
	wake, beats chan struct{}
}

// clock says that it was base for the database at the local time at.
type clock struct{ base, at time.Time }

// New returns a keeper without a lease.
func New(replicas store.Replicas, o Options) *Keeper {
	k := &Keeper{store: replicas, o: o, wake: make(chan struct{}, 1), beats: make(chan struct{}, 1)}
	k.clock.Store(&clock{base: o.Now(), at: o.Now()})
	return k
}

// ID is this replica's id, 0 while it has no lease: also before a process that
// stood still has found out what became of it.
func (k *Keeper) ID() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.o.Now().Before(k.until) {
		return 0
	}
	return k.id
}

// held is the id of the last lease, 0 once it was told to be lost.
func (k *Keeper) held() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.id
}

// Now is the database's time.
func (k *Keeper) Now() time.Time {
	c := k.clock.Load()
	return job.Time(c.base.Add(k.o.Now().Sub(c.at)))
}

// Register takes the first lease and buries the replicas known to be dead.
func (k *Keeper) Register(ctx context.Context) error {
	asked := k.o.Now()
	r, now, err := k.store.Register(ctx, k.o.Name, k.o.Lease)
	if err != nil {
		return fmt.Errorf("register replica: %w", err)
	}
	k.hold(r.ID, asked, now)
	k.o.Log.InfoContext(ctx, "registered", "replica", r.ID, "name", k.o.Name)
	k.bury(ctx)
	return nil
}

// hold notes a lease that was asked for at a local time.
func (k *Keeper) hold(id int64, asked, databaseNow time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id = id
	k.until = asked.Add(k.o.Lease - k.o.Margin)
	k.setClock(asked, databaseNow)
}

// setClock follows the database's time, which was read at some moment between
// the question and now. Where that leaves the present idea of it possible, it
// stays: what ends must not seem to end before its start.
func (k *Keeper) setClock(asked, databaseNow time.Time) {
	at, before := k.o.Now(), k.clock.Load()
	now := before.base.Add(at.Sub(before.at))
	if earliest := databaseNow; now.Before(earliest) {
		now = earliest
	}
	if latest := databaseNow.Add(at.Sub(asked)); now.After(latest) {
		now = latest
	}
	k.clock.Store(&clock{base: now, at: at})
}

// Run renews and buries until ctx ends. Register must have succeeded.
func (k *Keeper) Run(ctx context.Context) {
	var burying sync.WaitGroup
	defer burying.Wait()
	burying.Go(func() { k.buryAll(ctx) })
	k.every(ctx, k.o.Heartbeat, func(ctx context.Context) {
		k.beat(ctx)
		poke(k.beats)
		k.tellBeat()
	})
}

// tellBeat lets others use the moment: what comes together wakes the process and
// the database once.
func (k *Keeper) tellBeat() {
	if k.o.Beat != nil {
		k.o.Beat()
	}
}

// Wake makes the keeper look for dead replicas, and often from now on: another
// one has registered.
func (k *Keeper) Wake() { poke(k.wake) }

func poke(sleeper chan<- struct{}) {
	select {
	case sleeper <- struct{}{}:
	default: // it is awake already
	}
}

// buryAll looks for dead replicas until ctx ends. What a dead one has left may
// come to be seen after its burial, so it takes two counts to be alone.
func (k *Keeper) buryAll(ctx context.Context) {
	timer := time.NewTimer(k.o.BuryEvery)
	defer timer.Stop()
	counted, lonely := k.o.Now(), 0
	for {
		var beats <-chan struct{}
		if lonely > 1 && k.o.Listening() {
			beats = k.beats
			timer.Stop()
		} else {
			timer.Reset(k.o.BuryEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-beats:
		case <-k.wake:
			counted, lonely = k.o.Now(), 0
		}
		k.bury(ctx)
		if now := k.o.Now(); now.Sub(counted) >= k.o.Lease {
			counted = now
			if lonely++; !k.alone(ctx) {
				lonely = 0
			}
		}
	}
}

// alone tells whether there is surely no other replica.
func (k *Keeper) alone(ctx context.Context) bool {
	list, err := k.store.Replicas(ctx)
	return err == nil && len(list) == 1 && list[0].ID == k.ID()
}

func (k *Keeper) every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(ctx)
		}
	}
}

// beat renews the lease, again and again until it is renewed or lost; then it
// gets a new one.
func (k *Keeper) beat(ctx context.Context) {
	if k.left.Load() {
		return
	}
	id := k.held()
	for id != 0 {
		err := k.renew(ctx, id)
		switch {
		case err == nil || ctx.Err() != nil || k.left.Load():
			return
		case errors.Is(err, store.ErrNotFound):
			k.lose(ctx, fmt.Errorf("replica %d was declared dead by another one", id))
		case !k.o.Now().Before(k.deadline()):
			k.lose(ctx, fmt.Errorf("replica %d could not renew its lease: %w", id, err))
		default:
			k.o.Log.WarnContext(ctx, "can't renew the lease; trying again", "replica", id, "error", err)
			k.pause(ctx)
		}
		id = k.held()
	}
	k.registerAnew(ctx)
}

// registerAnew tries until there is a lease, or ctx ends. It waits for the database
// first: the ends can settle only when it answers.
func (k *Keeper) registerAnew(ctx context.Context) {
	for ctx.Err() == nil {
		err := k.ReadClock(ctx)
		if err == nil {
			k.settle(ctx)
			err = k.Register(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		k.o.Log.WarnContext(ctx, "can't register; trying again", "error", err)
		k.pause(ctx)
	}
}

// pause waits before the next try.
func (k *Keeper) pause(ctx context.Context) {
	timer := time.NewTimer(k.o.Heartbeat / 10)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// settle gives the ends of the former replica time for as long as it would have
// had a lease. As long as nobody has buried it, they count.
func (k *Keeper) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.o.Lease)
	defer cancel()
	k.o.Settle(ctx)
}

// Follow keeps the time of a process that runs no executions and needs no
// lease, until ctx ends.
func (k *Keeper) Follow(ctx context.Context) {
	k.every(ctx, k.o.Heartbeat, func(ctx context.Context) {
		if err := k.ReadClock(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.WarnContext(ctx, "can't read the database's clock; trying again", "error", err)
		}
		k.tellBeat()
	})
}

// ReadClock reads the database's clock once.
func (k *Keeper) ReadClock(ctx context.Context) error {
	asked := k.o.Now()
	now, err := k.store.DatabaseTime(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setClock(asked, now)
	return nil
}

// renew asks for a renewal, no longer than the replica may wait for it. An
// answer that comes after the deadline, as to a process that was paused, tells
// nothing: others may have buried the replica since. Then it asks again.
func (k *Keeper) renew(ctx context.Context, id int64) error {
	for until := k.deadline(); ; {
		asked := k.o.Now()
		now, err := k.ask(ctx, id, until.Sub(asked))
		if err != nil {
			return err
		}
		if k.o.Now().Before(until) {
			k.hold(id, asked, now)
			return nil
		}
		until = k.o.Now().Add(k.o.Lease - k.o.Margin)
	}
}

func (k *Keeper) ask(ctx context.Context, id int64, patience time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, max(patience, time.Millisecond))
	defer cancel()
	return k.store.Renew(ctx, id, k.o.Lease)
}

func (k *Keeper) deadline() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until
}

func (k *Keeper) lose(ctx context.Context, cause error) {
	k.mu.Lock()
	k.id = 0
	k.mu.Unlock()
	k.o.Log.ErrorContext(ctx, "lost the lease; ending everything that runs here", "error", cause)
	k.o.Lost(cause)
}

func (k *Keeper) bury(ctx context.Context) {
	id := k.ID()
	if id == 0 {
		return
	}
	lost, err := k.store.Bury(ctx, id, k.o.Lease)
	if failed := k.blind.Swap(err != nil); err != nil {
		if !failed && ctx.Err() == nil {
			k.o.Log.WarnContext(ctx, "can't look for dead replicas; trying again", "error", err)
		}
		return
	}
	if len(lost) > 0 {
		k.o.Log.WarnContext(ctx, "adopted executions of dead replicas", "executions", len(lost))
		k.o.Adopt(lost)
	}
}

// Leave gives the lease up, after everything of this replica has ended.
func (k *Keeper) Leave(ctx context.Context) error {
	k.left.Store(true)
	id := k.held()
	if id == 0 {
		return nil
	}
	return k.store.Leave(ctx, id)
}
