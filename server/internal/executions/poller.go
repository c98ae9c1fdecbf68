package executions

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// poller finds out what changed since its last poll: which active executions
// look different, which are not active any more, and which came and ended in
// between. The last are found in the history above a floor. Since an id may
// come to be seen late, the floor trails behind the newest id by settledAfter,
// and what was told above it is remembered.
type poller struct {
	store store.Watching
	// page is how many executions are read at a time.
	page int
	// polled says that there was a poll.
	polled bool
	// floor is the highest id of which none up to it comes to be seen any more.
	floor int64
	// newest are the highest ids that were seen, the oldest first.
	newest []newest
	seen   map[int64]*seen
}

// newest is the highest id at some time.
type newest struct {
	at time.Time
	id int64
}

// seen is what is known of an instance.
type seen struct {
	active map[int64]store.ExecutionMark
	// ended are executions above the floor.
	ended map[int64]bool
}

// poll looks once and tells the readers of each instance. After an error it
// finds again what was not told.
func (p *poller) poll(ctx context.Context, readers map[int64][]*reader) error {
	began := time.Now()
	instances := make([]int64, 0, len(readers))
	for id := range readers {
		instances = append(instances, id)
	}
	if len(instances) == 0 {
		return nil
	}
	slices.Sort(instances)
	look, err := p.look(ctx, instances)
	if err != nil {
		return err
	}
	floor := p.settled(began)
	for id, list := range readers {
		if err := p.tell(ctx, id, look, floor, list); err != nil {
			return err
		}
	}
	p.forget(readers, floor)
	p.newest = append(p.newest, look.newest)
	return nil
}

// settled is the floor after a poll that began at a time: all that is up to
// what was the newest id long before was there to be seen in that poll.
func (p *poller) settled(began time.Time) int64 {
	floor := p.floor
	for len(p.newest) > 0 && began.Sub(p.newest[0].at) >= settledAfter {
		floor = max(floor, p.newest[0].id)
		p.newest = p.newest[1:]
	}
	return floor
}

// look is what one poll sees.
type look struct {
	newest newest
	// active and ended are by instance, in the order of ids.
	active, ended map[int64][]store.ExecutionMark
}

func (p *poller) look(ctx context.Context, instances []int64) (look, error) {
	if !p.polled {
		floor, err := p.store.SettledExecution(ctx, recordedAge)
		if err != nil {
			return look{}, err
		}
		p.floor, p.polled = floor, true
	}
	id, err := p.store.NewestExecution(ctx)
	if err != nil {
		return look{}, err
	}
	l := look{newest: newest{time.Now(), id}}
	// Active ones first: one that ends in between is found in the history.
	active, err := p.store.ActiveMarks(ctx, instances)
	if err != nil {
		return look{}, err
	}
	var ended []store.ExecutionMark
	for above := p.floor; ; {
		const page = 10_000
		more, err := p.store.EndedAbove(ctx, instances, above, page)
		if err != nil {
			return look{}, err
		}
		ended = append(ended, more...)
		if len(more) < page {
			break
		}
		above = more[len(more)-1].ID
	}
	l.active, l.ended = byInstance(active), byInstance(ended)
	return l, nil
}

func byInstance(marks []store.ExecutionMark) map[int64][]store.ExecutionMark {
	all := map[int64][]store.ExecutionMark{}
	for _, m := range marks {
		all[m.InstanceID] = append(all[m.InstanceID], m)
	}
	return all
}

// tell tells the readers of an instance what changed, and where the feed
// begins for new ones.
func (p *poller) tell(ctx context.Context, instance int64, l look, floor int64, readers []*reader) error {
	known := p.seen[instance]
	if known == nil {
		p.seen[instance] = newSeen(l.active[instance], l.ended[instance])
	} else if err := p.tellChanges(ctx, instance, known, l, floor, readers); err != nil {
		return err
	}
	for _, r := range readers {
		if !r.ready {
			r.ready = true
			r.started <- newPosition(instance, r.job, floor, p.seen[instance].activeOf(r.job))
		}
	}
	return nil
}

func (p *poller) tellChanges(ctx context.Context, instance int64, known *seen, l look, floor int64, readers []*reader) error {
	known.expect(l.active[instance])
	changed := known.changed(l.active[instance], l.ended[instance])
	if len(changed) == 0 {
		return nil
	}
	marks := map[int64]store.ExecutionMark{}
	for _, m := range l.active[instance] {
		marks[m.ID] = m
	}
	topics := map[int64][]*reader{}
	for _, r := range readers {
		if r.ready {
			topics[r.job] = append(topics[r.job], r)
		}
	}
	before := map[int64]string{}
	for job := range topics {
		before[job] = newPosition(instance, job, p.floor, known.activeOf(job)).cursor()
	}
	for chunk := range slices.Chunk(changed, p.page) {
		list, err := p.store.ExecutionsByID(ctx, chunk)
		if err != nil {
			return err
		}
		known.note(chunk, list, marks)
		last := chunk[len(chunk)-1] == changed[len(changed)-1]
		for job, readers := range topics {
			after := before[job]
			if last {
				after = newPosition(instance, job, floor, known.activeOf(job)).cursor()
			}
			changes := readers[0].changes(list, before[job], after)
			for _, r := range readers {
				r.push(changes)
			}
		}
	}
	return nil
}

// forget drops what is not needed any more, and moves the floor.
func (p *poller) forget(readers map[int64][]*reader, floor int64) {
	p.floor = floor
	for id, known := range p.seen {
		if readers[id] == nil {
			delete(p.seen, id)
			continue
		}
		for ended := range known.ended {
			if ended <= floor {
				delete(known.ended, ended)
			}
		}
	}
}

func newSeen(active, ended []store.ExecutionMark) *seen {
	s := &seen{active: map[int64]store.ExecutionMark{}, ended: map[int64]bool{}}
	for _, m := range ended {
		s.ended[m.ID] = true
	}
	for _, m := range active {
		s.active[m.ID] = m
		// One that ended between the two looks is told as a change.
		delete(s.ended, m.ID)
	}
	return s
}

// expect notes what was claimed ahead and is told later: whoever leaves meanwhile
// must be told of it then.
func (s *seen) expect(active []store.ExecutionMark) {
	for _, m := range active {
		if m.Ahead {
			s.active[m.ID] = m
		}
	}
}

// changed lists what is to be told, in the order of ids.
func (s *seen) changed(active, ended []store.ExecutionMark) []int64 {
	var ids []int64
	still := make(map[int64]bool, len(active))
	for _, m := range active {
		still[m.ID] = true
		if !m.Ahead && s.active[m.ID] != m {
			ids = append(ids, m.ID)
		}
	}
	for id := range s.active {
		if !still[id] {
			ids = append(ids, id)
		}
	}
	for _, m := range ended {
		if !s.ended[m.ID] {
			ids = append(ids, m.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// note remembers what was told of the executions in ids. One that is found
// nowhere was withdrawn or pruned.
func (s *seen) note(ids []int64, told []job.Execution, marks map[int64]store.ExecutionMark) {
	for _, id := range ids {
		at, found := slices.BinarySearchFunc(told, id, func(e job.Execution, id int64) int { return cmp.Compare(e.ID, id) })
		mark, active := marks[id]
		switch {
		case found && !told[at].State.Ended() && active:
			s.active[id] = mark
		case found && told[at].State.Ended():
			s.ended[id] = true
			delete(s.active, id)
		default:
			delete(s.active, id)
		}
	}
}

// activeOf lists the executions of a job, or of all, that have not ended.
func (s *seen) activeOf(jobID int64) []int64 {
	var ids []int64
	for id, m := range s.active {
		if jobID == 0 || m.JobID == jobID {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
