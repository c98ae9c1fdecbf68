package entstore

import (
	"cmp"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

func byID(a, b *store.Finish) int { return cmp.Compare(a.ExecutionID, b.ExecutionID) }

// splitFinish parts the attempts that end the execution from those that are
// followed by another one. Both are in the order of their ids, so that rows
// are locked in one order.
func splitFinish(ends []store.Finish) (final, retries []*store.Finish) {
	final = make([]*store.Finish, 0, len(ends))
	for i := range ends {
		if end := &ends[i]; end.RetryAt.IsZero() {
			final = append(final, end)
		} else {
			retries = append(retries, end)
		}
	}
	slices.SortFunc(final, byID)
	slices.SortFunc(retries, byID)
	return final, retries
}

// notKept turns the retries that were not put back into final ends: somebody
// asked to cancel them meanwhile, or their fence is stale.
func notKept(retries []*store.Finish, kept map[int64]bool) (final []*store.Finish) {
	for _, retry := range retries {
		if !kept[retry.ExecutionID] {
			end := *retry
			end.State = job.StateCancelled
			end.Tasks = cancelledTasks(end.Tasks)
			final = append(final, &end)
		}
	}
	return final
}

// cancelledTasks are tasks of which none waits for approval any more.
func cancelledTasks(tasks []job.TaskRecord) []job.TaskRecord {
	tasks = slices.Clone(tasks)
	for i := range tasks {
		if t := &tasks[i]; t.State == job.TaskAwaitingApproval || t.State == job.TaskPending {
			t.State = job.TaskCancelled
		}
	}
	return tasks
}

type finishArrays struct {
	row                                             []pgtype.TID
	id, fence, started, finished, retryAt, logBytes []int64
	state, failure, tasks                           []string
}

func finishColumns(ends []*store.Finish) finishArrays {
	n := len(ends)
	c := finishArrays{
		make([]pgtype.TID, n),
		make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n),
		make([]string, n), make([]string, n), make([]string, n),
	}
	tasks := newTasksColumn(n)
	for i, end := range ends {
		c.row[i] = tidOf(end.Mark)
		c.id[i], c.fence[i], c.logBytes[i] = end.ExecutionID, end.Fence, end.LogBytes
		c.started[i], c.finished[i], c.retryAt[i] = micros(end.StartedAt), micros(end.FinishedAt), micros(end.RetryAt)
		c.state[i], c.failure[i], c.tasks[i] = string(end.State), failureText(end.Error), tasks.text(end.Tasks)
	}
	return c
}

type progressArrays struct {
	id, fence, started, logBytes []int64
	tasks                        []string
}

func progressColumns(reports []store.Progress) progressArrays {
	var c progressArrays
	for _, r := range reports {
		c.id = append(c.id, r.ExecutionID)
		c.fence = append(c.fence, r.Fence)
		c.started = append(c.started, micros(r.StartedAt))
		c.logBytes = append(c.logBytes, r.LogBytes)
		c.tasks = append(c.tasks, tasksText(r.Tasks))
	}
	return c
}
