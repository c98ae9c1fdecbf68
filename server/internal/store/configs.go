package store

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Configs keeps sealed remote configurations.
type Configs interface {
	// Remotes lists the sealed remotes of a resource by name.
	Remotes(ctx context.Context, resourceID int64) ([]job.SealedRemote, error)
	Remote(ctx context.Context, resourceID int64, name string) (job.SealedRemote, error)
	// ChangeRemotes stores puts and deletes removes in one transaction.
	// A put's Version must be exactly one more than the stored one (1 when
	// there is none), else nothing changes and it is a *job.AbortedError.
	//
	// A put ends a refusal of the remote, and with it the pauses of jobs that
	// RefuseRemote has paused, unless they name another remote that is refused:
	// the ticker resumes them at once, and tells what they have missed.
	ChangeRemotes(ctx context.Context, resourceID int64, puts []job.SealedRemote, removes []string) error
	// DeleteRemotes removes all of a resource.
	DeleteRemotes(ctx context.Context, resourceID int64) error

	// LockRemote gives the right to renew a remote's token to holder, for the
	// given time by the database's clock, unless somebody else has it. Whoever
	// dies with it blocks others no longer than that.
	LockRemote(ctx context.Context, resourceID int64, name, holder string, hold time.Duration) (locked bool, err error)
	// UnlockRemote gives the right back, if holder has it.
	UnlockRemote(ctx context.Context, resourceID int64, name, holder string) error
	// RefuseRemote notes that a remote's credentials are refused and pauses the
	// active jobs that name it, all at once. Only the first call for a version
	// does anything, and none for a version that is not the stored one.
	RefuseRemote(ctx context.Context, r RemoteRefusal) (refused bool, err error)
	// CountRemotes counts the remotes that are refused, and those that are not
	// and whose credentials end before a time, reading no other.
	CountRemotes(ctx context.Context, before time.Time) (refused, expiring int, err error)
}

// RemoteRefusal says that the credentials of a version of a remote are refused.
type RemoteRefusal struct {
	ResourceID int64
	Name       string
	Version    int64
	// Reason is for people, without a secret. PauseReason is that of the jobs.
	Reason, PauseReason string
	Now                 time.Time
}
