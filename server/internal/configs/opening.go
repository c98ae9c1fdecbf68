package configs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// opening is a remote that an execution has opened: what of it changes while it
// is open, such as a refreshed token, is stored.
type opening struct {
	opener
	resourceID int64
	name       string
	kind       string

	mu sync.Mutex
	// version is the newest one that the execution has used; known are its
	// options.
	version int64
	known   map[string]string
}

// save stores a new value on top of the one that the remote was opened with.
// A value that somebody else has stored since is newer than the one which this
// one came from, and stays.
func (o *opening) save(ctx context.Context, key, value string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.service.swap(func() error {
		stored, options, err := o.service.open(ctx, o.resourceID, o.name)
		if err != nil {
			return err
		}
		if stored.Type != o.kind || options[key] != o.known[key] {
			return nil
		}
		return o.put(ctx, stored, options, key, value)
	}, o.resourceID)
}

// put stores the next version of a remote, with one value changed; o.mu is
// held.
func (o *opening) put(ctx context.Context, stored job.SealedRemote, options map[string]string, key, value string) error {
	options[key] = value
	next, err := o.service.seal(o.resourceID, o.name, stored.Version+1, plain{kind: stored.Type, options: options})
	if err != nil {
		return err
	}
	// Who the credentials are of does not change with a new token.
	next.Account = stored.Account
	ctx = audit.With(ctx, audit.NewPending(o.event(ctx, audit.SaveConfig, next)))
	if err := o.service.store.ChangeRemotes(ctx, o.resourceID, []job.SealedRemote{next}, nil); err != nil {
		return err
	}
	o.version, o.known = next.Version, options
	return nil
}

// maxReason bounds what is kept of why credentials are refused, in bytes: with
// the rest of the sentence it must fit into a pause's reason.
const maxReason = 300

// refuse notes that the credentials of the version in use are refused. When
// others have stored a newer one since, nothing is known of that.
func (o *opening) refuse(ctx context.Context, why *job.Failure) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refuseLocked(ctx, why)
}

// refuseLocked is refuse with o.mu held.
func (o *opening) refuseLocked(ctx context.Context, why *job.Failure) error {
	reason := shorten(why.Message, maxReason)
	_, err := o.service.store.RefuseRemote(ctx, store.RemoteRefusal{
		ResourceID: o.resourceID, Name: o.name, Version: o.version, Reason: reason,
		PauseReason: fmt.Sprintf("%s: remote %q of %s: %s", job.ReasonReauth, o.name, job.KindResource.Format(o.resourceID), reason),
		Now:         o.service.now(),
	})
	if err != nil {
		return fmt.Errorf("note that the credentials of remote %q of resource %d are refused: %w", o.name, o.resourceID, err)
	}
	return nil
}

// shorten cuts a text to at most n bytes, between two characters.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	const more = "…"
	end := n - len(more)
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end] + more
}

// isRefusal tells whether an error says that the credentials are refused.
func isRefusal(err error) (*job.Failure, bool) {
	f, ok := errors.AsType[*job.Failure](err)
	return f, ok && f.Reason == job.ReasonReauth
}
