package entstore

import (
	"context"
	"slices"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/webhook"
	"github.com/pointscene/carillon/server/internal/job"
)

// A feed finds what has happened in an instance since the last look. Executions
// end in any order, and their ids come to be seen late; so what is known is a
// floor, up to which all executions have been looked at but those that were
// open then, and the ended ones above it. What lasts (approvals, pauses,
// refusals) is compared with what lasted at the last look.

const (
	// feedPage is how many ends one look takes, and feedJobs how many jobs and how
	// many due ones for their freshness: divided among the webhooks, since each may
	// have a row of each stored, and all must be stored within one call.
	feedPage, feedJobs = 500, 200
	// lookAgain is how often all jobs are looked at for their freshness.
	lookAgain = time.Hour
	// feedSettled is how old an execution must be for none with a lower id to
	// come to be seen, and settledFor how long the answer is used.
	feedSettled = 15 * time.Second
	settledFor  = 3 * time.Second
)

// feedRow is how far a feed is.
type feedRow struct {
	instanceID, version, floor, jobsSeen, lookedAt int64
	position                                       feedPosition
}

// feedPosition is what a look must remember of the one before.
type feedPosition struct {
	// Told are ended executions above the floor, Open those up to it that had
	// not ended.
	Told []int64 `json:"told,omitempty"`
	Open []int64 `json:"open,omitempty"`
	// What lasted.
	Approvals []mark `json:"approvals,omitempty"`
	Paused    []mark `json:"paused,omitempty"`
	Refused   []mark `json:"refused,omitempty"`
}

// mark tells one thing that lasts from the next of the same object.
type mark struct {
	ID int64 `json:"id"`
	At int64 `json:"at"`
}

func scanMarkAt(scan func(...any) error) (m mark, err error) {
	err = scan(&m.ID, &m.At)
	return m, err
}

// feedLook is what one look finds: what is new, and the feed after it.
type feedLook struct {
	next                      feedRow
	now                       time.Time
	webhooks                  []job.Webhook
	ended                     []int64
	approvals, paused, refuse []mark
	due                       []job.Freshness
	jobs                      []int64
	more                      bool
}

// idle tells that nothing happened that is to be told or stored.
func (l *feedLook) idle(feed feedRow) bool {
	same := l.next.jobsSeen == feed.jobsSeen && l.next.lookedAt == feed.lookedAt && encode(l.next.position) == encode(feed.position)
	return same && len(l.ended)+len(l.approvals)+len(l.paused)+len(l.refuse)+len(l.due)+len(l.jobs) == 0
}

// lookFeed looks at an instance. Active executions come before the ended ones,
// so that one which ends in between is found among the latter.
func (s *Store) lookFeed(ctx context.Context, c *ent.Client, feed feedRow, page int) (l feedLook, err error) {
	l.next = feedRow{instanceID: feed.instanceID, version: feed.version + 1, floor: feed.floor, jobsSeen: feed.jobsSeen, lookedAt: feed.lookedAt}
	if l.now, err = s.databaseTime(ctx, c); err != nil {
		return l, err
	}
	rows, err := c.Webhook.Query().Where(webhook.InstanceID(feed.instanceID), webhook.Enabled(true)).Order(ent.Asc(webhook.FieldID)).All(ctx)
	if err != nil {
		return l, err
	}
	if l.webhooks, err = webhooksOf(rows); err != nil {
		return l, err
	}
	page = share(page, l.webhooks)
	if err := s.lookEnds(ctx, c, feed, &l, page); err != nil {
		return l, err
	}
	if err := lookLasting(ctx, c, feed, &l, page); err != nil {
		return l, err
	}
	err = lookFreshness(ctx, c, feed, &l)
	return l, err
}

// share is how much of a page one look takes with so many webhooks.
func share(page int, webhooks []job.Webhook) int {
	return max(1, page/max(1, len(webhooks)))
}

// lookEnds finds executions that have ended, and moves the floor.
func (s *Store) lookEnds(ctx context.Context, c *ent.Client, feed feedRow, l *feedLook, page int) error {
	active, err := collect(ctx, c, scanID, "SELECT id FROM active_executions WHERE instance_id = $1 ORDER BY id", feed.instanceID)
	if err != nil {
		return err
	}
	limit := len(feed.position.Told) + page
	above, err := collect(ctx, c, scanID, "SELECT id FROM executions WHERE instance_id = $1 AND id > $2 ORDER BY id LIMIT $3", feed.instanceID, feed.floor, limit)
	if err != nil {
		return err
	}
	seen, open := map[int64]bool{}, active
	if len(feed.position.Open) > 0 {
		l.ended, err = collect(ctx, c, scanID, "SELECT id FROM executions WHERE "+s.inList("id", 1)+" ORDER BY finished_at, id LIMIT $2", s.list(feed.position.Open), page)
		if err != nil {
			return err
		}
		if l.more = len(l.ended) == page; l.more { // others may have ended too
			open = slices.Compact(slices.Sorted(slices.Values(slices.Concat(active, feed.position.Open))))
		}
		for _, id := range l.ended {
			seen[id] = true
		}
	}
	if len(above) > 0 {
		settled, err := s.settled(ctx, c, l.now)
		if err != nil {
			return err
		}
		last := above[len(above)-1]
		if len(above) == limit {
			l.more = true
			settled = min(settled, last)
			// Those that were told and come after this page stay so.
			after, _ := slices.BinarySearch(feed.position.Told, last+1)
			defer func() { l.next.position.Told = append(l.next.position.Told, feed.position.Told[after:]...) }()
		}
		l.next.floor = max(feed.floor, settled)
	}
	for _, id := range above {
		seen[id] = true
		if _, told := slices.BinarySearch(feed.position.Told, id); !told {
			l.ended = append(l.ended, id)
		}
		if id > l.next.floor {
			l.next.position.Told = append(l.next.position.Told, id)
		}
	}
	for _, id := range open {
		if id <= l.next.floor && !seen[id] {
			l.next.position.Open = append(l.next.position.Open, id)
		}
	}
	return nil
}

// settledID is the highest settled execution at some time.
type settledID struct {
	at time.Time
	id int64
}

// settled is the highest id of an execution below which nothing comes to be
// seen any more. An answer that is old is only lower.
func (s *Store) settled(ctx context.Context, q querier, now time.Time) (int64, error) {
	if known := s.feedSettled.Load(); known != nil && now.Sub(known.at) < settledFor && !now.Before(known.at) {
		return known.id, nil
	}
	found, err := collect(ctx, q, scanID, settledExecution, micros(now.Add(-feedSettled)))
	if err != nil {
		return 0, err
	}
	known := &settledID{at: now}
	if len(found) > 0 {
		known.id = found[0]
	}
	s.feedSettled.Store(known)
	return known.id, nil
}

const (
	lastingApprovals = `SELECT id, attempt FROM active_executions WHERE instance_id = $1 AND state = 'AWAITING_APPROVAL' ORDER BY id`
	lastingPaused    = `
SELECT j.id, s.paused_at FROM jobs j JOIN schedules s ON s.id = j.id
WHERE j.instance_id = $1 AND j.pause_actor = 'system' AND NOT j.pause_reauth AND NOT s.active ORDER BY j.id`
	lastingRefused = `
SELECT c.id, c.refused_at FROM resource_configs c JOIN resources r ON r.id = c.resource_id
WHERE r.instance_id = $1 AND c.refused_at > 0 ORDER BY c.id`
)

// lookLasting finds what lasts now and did not at the last look; of too much,
// some at the next one.
func lookLasting(ctx context.Context, q querier, feed feedRow, l *feedLook, page int) error {
	for _, one := range []struct {
		query     string
		old       []mark
		now, news *[]mark
	}{
		{lastingApprovals, feed.position.Approvals, &l.next.position.Approvals, &l.approvals},
		{lastingPaused, feed.position.Paused, &l.next.position.Paused, &l.paused},
		{lastingRefused, feed.position.Refused, &l.next.position.Refused, &l.refuse},
	} {
		found, err := collect(ctx, q, scanMarkAt, one.query, feed.instanceID)
		if err != nil {
			return err
		}
		old := make(map[mark]bool, len(one.old))
		for _, m := range one.old {
			old[m] = true
		}
		for _, m := range found {
			switch {
			case old[m]:
			case len(*one.news) == page:
				l.more = true
				continue
			default:
				*one.news = append(*one.news, m)
			}
			*one.now = append(*one.now, m)
		}
	}
	return nil
}

const freshnessColumns = `id, webhook_id, job_id, since, stood, due, stale`

func scanFreshness(scan func(...any) error) (f job.Freshness, err error) {
	var since, stood, due int64
	err = scan(&f.ID, &f.WebhookID, &f.JobID, &since, &stood, &due, &f.Stale)
	f.Since, f.Stood, f.Due = timeOf(since), time.Duration(stood)*time.Microsecond, timeOf(due)
	return f, err
}

// lookFreshness finds the jobs whose freshness has ended, and those that are to
// be looked at: new ones at once, all of them now and then.
func lookFreshness(ctx context.Context, q querier, feed feedRow, l *feedLook) (err error) {
	if !slices.ContainsFunc(l.webhooks, func(w job.Webhook) bool { return w.WatchesFreshness() }) {
		return nil
	}
	page := share(feedJobs, l.webhooks)
	l.due, err = collect(ctx, q, scanFreshness, "SELECT "+freshnessColumns+
		" FROM job_freshnesses WHERE instance_id = $1 AND due > 0 AND due <= $2 ORDER BY due LIMIT $3", feed.instanceID, micros(l.now), page)
	if err != nil {
		return err
	}
	after := feed.jobsSeen
	if l.now.Sub(timeOf(feed.lookedAt)) >= lookAgain {
		after, l.next.lookedAt = 0, micros(l.now)
	}
	l.jobs, err = collect(ctx, q, scanID, "SELECT id FROM jobs WHERE instance_id = $1 AND id > $2 ORDER BY id LIMIT $3", feed.instanceID, after, page)
	if len(l.jobs) > 0 {
		after = l.jobs[len(l.jobs)-1]
	}
	l.next.jobsSeen = after
	l.more = l.more || len(l.jobs) == page || len(l.due) == page
	return err
}
