package entstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/ent"
	entactive "github.com/pointscene/carillon/ent/activeexecution"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// EnqueueManual implements store.Executions.
func (s *Store) EnqueueManual(ctx context.Context, m store.Manual) (e job.Execution, err error) {
	defer s.change()()
	err = s.tx(ctx, "run job", func(ctx context.Context, tx *ent.Tx) error {
		row, err := s.lockJob(ctx, tx, m.JobID)
		if err != nil {
			return err
		}
		return once(ctx, tx, m.Request, func() (int64, error) {
			return s.enqueue(ctx, tx, row, m)
		}, func(id int64) error {
			e, err = executionByID(ctx, tx, id)
			return err
		})
	})
	return e, err
}

// enqueue inserts the execution if the overlap policy lets it.
func (s *Store) enqueue(ctx context.Context, tx *ent.Tx, row *ent.Schedule, m store.Manual) (int64, error) {
	own, err := policiesOf(row.Policies)
	if err != nil {
		return 0, err
	}
	policy := m.Overlap
	if policy == "" {
		policy = own.Overlap
	}
	at := m.Now()
	if own.Overlap != job.OverlapAllow || policy == job.OverlapCancelOther {
		if at, err = s.lockAhead(ctx, tx, "job_id = $1", row.ID, m.Now); err != nil {
			return 0, err
		}
		if err := s.redecide(ctx, tx, row, at); err != nil {
			return 0, err
		}
	}
	if err := s.makeRoom(ctx, tx, row, policy, at); err != nil {
		return 0, err
	}
	if err := s.takeOne(ctx, tx, row.InstanceID, at); err != nil {
		return 0, err
	}
	now := micros(at)
	added, err := tx.ActiveExecution.Create().SetJobID(row.ID).SetInstanceID(row.InstanceID).
		SetTrigger(string(job.TriggerManual)).SetTriggerID(m.TriggerID).SetScheduledFor(now).SetNotBefore(now).SetWaits(policy.Waits()).
		SetCreatedAt(now).SetOwner(0).SetState(string(job.StateQueued)).SetAttempt(0).SetFence(0).SetFirstStartedAt(0).SetStartedAt(0).
		SetError("").SetTasks("").SetLogBytes(0).SetFolders(row.Folders).Save(ctx)
	if err != nil {
		return 0, err
	}
	return added.ID, s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
}

// makeRoom applies the overlap policy to the executions that are due and have
// not ended. What was claimed ahead of its time is taken back by now.
func (s *Store) makeRoom(ctx context.Context, tx *ent.Tx, row *ent.Schedule, policy job.OverlapPolicy, now time.Time) error {
	// All but what is claimed ahead of its time under ALLOW.
	due := entactive.Or(entactive.TriggerNEQ(string(job.TriggerSchedule)), entactive.ScheduledForLTE(micros(now)))
	others := tx.ActiveExecution.Query().Where(entactive.JobID(row.ID)).Order(ent.Asc(entactive.FieldID))
	switch policy {
	case job.OverlapSkip:
		if err := refuse(others.Where(due).FirstID(ctx)); err != nil {
			return err
		}
		return s.refuseBusy(txRunner{s, ctx, tx}, row, now)
	case job.OverlapBufferOne:
		return refuse(others.Where(entactive.Waits(true), entactive.Owner(0)).FirstID(ctx))
	case job.OverlapBufferAll:
		waiting, err := others.Where(entactive.Waits(true), entactive.Owner(0)).Count(ctx)
		if err == nil && waiting >= job.MaxBuffered {
			err = &job.ExhaustedError{Reason: job.SkipQuota, Message: fmt.Sprintf("%d executions of the job wait already.", waiting)}
		}
		return err
	case job.OverlapCancelOther:
		why := &job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled, Message: "A later execution took its place."}
		if err := s.lockActive(ctx, tx, "job_id = $1", row.ID); err != nil {
			return err
		}
		if err := archive(ctx, tx, "job_id = $1 AND owner = 0 AND attempt > 0", row.ID, now, why); err != nil {
			return err
		}
		return s.askToEnd(ctx, tx, "job_id = $1", row.ID, why)
	default:
		return nil
	}
}

// refuse says which execution stands in the way; none is no error.
func refuse(blocking int64, err error) error {
	if ent.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	id := job.KindExecution.Format(blocking)
	return &job.PreconditionError{
		Reason:   job.SkipOverlap,
		Message:  fmt.Sprintf("%s of the job has not ended.", id),
		Metadata: map[string]string{"executionId": id},
	}
}

// refuseBusy says which execution works on a folder that the job needs, or waits
// to. It takes no lock: what begins meanwhile is waited for.
func (s *Store) refuseBusy(r runner, row *ent.Schedule, now time.Time) error {
	folders, err := foldersOf(row.Folders)
	if err != nil || len(folders) == 0 {
		return err
	}
	list, err := readHolders(r, micros(now))
	if err != nil {
		return err
	}
	all := [][]job.Folder{folders}
	for _, h := range list {
		all = append(all, h.Folders)
	}
	known, err := readAccounts(r, all...)
	if err != nil {
		return err
	}
	folders = known.in(row.InstanceID, folders)
	for _, h := range holdersOf(list, known) {
		if job.Collide(folders, h.Folders) {
			return busy(h, row.InstanceID)
		}
	}
	return nil
}

// busy says who works on the folders, unless that is of another instance.
func busy(h store.Holder, instance int64) error {
	e := &job.PreconditionError{Reason: job.SkipRemoteBusy, Message: "An execution of another instance works on a folder that the job works on."}
	if h.InstanceID == instance {
		id := job.KindExecution.Format(h.ExecutionID)
		e.Message = id + " works on a folder that the job works on."
		e.Metadata = map[string]string{"executionId": id}
	}
	return e
}

// redecide takes back what was claimed ahead of its time before there was this
// execution: at its time it may overlap with it.
func (s *Store) redecide(ctx context.Context, tx *ent.Tx, row *ent.Schedule, now time.Time) error {
	slot, n, err := s.withdraw(ctx, tx, row.ID, now)
	if err != nil || slot.IsZero() {
		return err
	}
	return tx.Schedule.Update().Where(entschedule.ID(row.ID)).SetNextRun(micros(slot)).SetStarted(max(0, row.Started-n)).Exec(ctx)
}
