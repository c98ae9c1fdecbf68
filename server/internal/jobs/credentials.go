package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// credentials says, in a sentence each, which remotes of a job's workflow are
// refused or have credentials that end before a time. Whoever may read the job
// may read the configs of its instance's resources, too.
func (s *Service) credentials(ctx context.Context, j job.Job, before, now time.Time) (text string, err error) {
	var resources []int64
	for _, p := range j.Folders {
		resources = append(resources, p.ResourceID)
	}
	slices.Sort(resources)
	for _, id := range slices.Compact(resources) {
		remotes, err := s.store.Remotes(ctx, id)
		if err != nil {
			return "", fmt.Errorf("read the remotes of resource %d: %w", id, err)
		}
		for _, r := range remotes {
			if slices.ContainsFunc(j.Folders, func(p job.Folder) bool { return p.ResourceID == id && p.Remote == r.Name }) {
				text += credentialWords(r, before, now)
			}
		}
	}
	return text, nil
}

// credentialWords is empty while a remote needs nothing. Whether a use renews
// the credentials is not stored, so both are told.
func credentialWords(r job.SealedRemote, before, now time.Time) string {
	of := fmt.Sprintf(" The credentials of remote %q of %s ", r.Name, job.KindResource.Format(r.ResourceID))
	end := r.Expiry.Credentials
	switch {
	case r.Refusal != nil:
		return of + "are refused since " + clock(r.Refusal.Since) + " (REAUTH_REQUIRED): store new ones."
	case end.IsZero() || !end.Before(before):
		return ""
	case end.After(now):
		return of + "end at " + clock(end) + ", in " + span(end.Sub(now)) + ", unless a use renews them: store new ones before."
	default:
		return of + "ended at " + clock(end) + ": store new ones."
	}
}
