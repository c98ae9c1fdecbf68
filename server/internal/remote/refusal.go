package remote

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// askAgainFor bounds the second question.
const askAgainFor = 15 * time.Second

// refusal explains that a remote has refused its credentials. One answer proves
// little: a token may have been withdrawn before its end, and services have bad
// moments. So the remote is asked once more, with a new token where there is
// one, before its config is called refused.
func (s *Session) refusal(r *Remote, doing string, err error) error {
	r.asked.Do(func() { r.refused = s.askAgain(r, err) })
	if ended := s.ended(); ended != nil {
		return ended
	}
	if r.refused != nil {
		return r.refused
	}
	return &job.Failure{Code: "UNAVAILABLE", Reason: ReasonRemoteFailed, Message: fmt.Sprintf(
		"%s %s: the remote refused its credentials, and took them when it was asked again; try again: %s", doing, r, s.text(err))}
}

// askAgain answers nil when the credentials are good after all.
func (s *Session) askAgain(r *Remote, first error) *job.Failure {
	again := &Remote{cfg: r.cfg, path: r.path, tokens: r.tokens, service: r.service}
	if r.tokens != nil {
		r.tokens.renewNext()
	}
	ctx, cancel := context.WithTimeout(s.ctx, askAgainFor)
	defer cancel()
	err := s.openLibrary(again, kinds[r.cfg.Type])
	if err == nil {
		_, err = again.fs.List(ctx, "")
	}
	if s.ended() != nil || err == nil || !refusesCredentials(err) {
		return nil
	}
	why := &job.Failure{Code: "UNAUTHENTICATED", Reason: job.ReasonReauth,
		Message: fmt.Sprintf("%s refuses the credentials: %s; add a new config", r, s.text(first))}
	if r.cfg.Refused != nil {
		if err := r.cfg.Refused(context.WithoutCancel(s.ctx), why); err != nil {
			s.log.WarnContext(ctx, "can't note that the credentials are refused; the next execution will", "remote", r.String(), "error", err)
		}
	}
	return why
}
