package store

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// SealingState is what a key of the keyset is for.
type SealingState string

// The states of sealing keys, in the order of a key's life.
const (
	// SealingEnabled keys open what they have sealed.
	SealingEnabled SealingState = "ENABLED"
	// SealingPrimary is the one key that seals.
	SealingPrimary SealingState = "PRIMARY"
	// SealingDisabled keys are out of use, and nothing is sealed by them.
	SealingDisabled SealingState = "DISABLED"
	// SealingDestroyed keys are to be deleted from every keyset file.
	SealingDestroyed SealingState = "DESTROYED"
)

// SealingKey is a key of the keyset as the database knows it: never the key
// itself.
type SealingKey struct {
	ID    uint32
	State SealingState
	// CreatedAt is when a process first had the key, ChangedAt when it got its
	// state.
	CreatedAt, ChangedAt time.Time
}

// KeyHolder is a process that has opened the keyset.
type KeyHolder struct {
	// ID is random, Name for people.
	ID, Name string
	// Keys are the ids that its keyset file holds.
	Keys []uint32
	// Primary is the key that it seals with now.
	Primary uint32
}

// SealingView is what a change of sealing keys is decided by.
type SealingView struct {
	// Keys are in the order of their creation.
	Keys []SealingKey
	// Holders are the living processes.
	Holders []KeyHolder
	// Sealed counts the values that each key seals.
	Sealed map[uint32]int64
	// Now is the database's time.
	Now time.Time
}

// RemoteRef names a remote; the zero one comes before all.
type RemoteRef struct {
	ResourceID int64
	Name       string
}

// SealingKeys keeps which key of the keyset is for what, for all replicas.
type SealingKeys interface {
	// SealingView reads everything about the keys. A holder lives for as long
	// after its report as it said.
	SealingView(ctx context.Context) (SealingView, error)
	// SealingStates reads the keys alone.
	SealingStates(ctx context.Context) ([]SealingKey, error)
	// ChangeSealingKeys shows decide the view, while no other change happens and
	// nothing is being stored that was sealed, and stores the states that it
	// answers. decide may be called more than once.
	ChangeSealingKeys(ctx context.Context, decide func(SealingView) ([]SealingKey, error)) error
	// ReportKeys notes a holder for the time lives, and keys of its file that
	// are new to the database as ENABLED. While there is no PRIMARY one, its
	// primary becomes that.
	ReportKeys(ctx context.Context, h KeyHolder, lives time.Duration) error
	// RenewKeyReport makes a holder live for that long from now on; ErrNotFound when
	// there is no report of it.
	RenewKeyReport(ctx context.Context, id string, lives time.Duration) error
	// ForgetKeyHolder ends a report.
	ForgetKeyHolder(ctx context.Context, id string) error
	// SealedKeyIDs lists the sealing keys that any sealed row needs.
	SealedKeyIDs(ctx context.Context) ([]uint32, error)
	// RemotesToReseal lists up to limit remotes of all resources that another
	// key than this one seals, in an order of its own, which goes on after one.
	RemotesToReseal(ctx context.Context, keyID uint32, after RemoteRef, limit int) ([]job.SealedRemote, error)
	// WebhooksToReseal and ResealWebhooks do the same for the secrets of
	// webhooks, in the order of their ids.
	WebhooksToReseal(ctx context.Context, keyID uint32, after int64, limit int) ([]job.Webhook, error)
	ResealWebhooks(ctx context.Context, list []job.Webhook) (resealed int, err error)
	// Reseal replaces the sealed parts, and nothing else, of remotes whose
	// version is still the given one, and of signing keys; what is sealed by the
	// new key already stays. A key that is out of use is a *job.AbortedError, as
	// it is for every call that stores a sealed value.
	Reseal(ctx context.Context, remotes []job.SealedRemote, keys []SigningKey) (resealed int, err error)
}
