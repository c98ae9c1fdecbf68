package policy

import (
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Admit tells which of the executions that wait for folders may not start yet,
// and what each waits for: the first one before it, running or waiting, that
// works on a folder of its own. It gets all of its folders or none, so no two
// wait for each other; and since those that wait hold back the ones behind
// them, a stream of small ones can't keep out one that needs the whole.
func Admit(holders []store.Holder) map[int64]int64 {
	waits := make(map[int64]int64)
	for i, h := range holders {
		if h.Running {
			continue
		}
		if by, busy := blocking(h.InstanceID, h.Folders, holders[:i]); busy {
			waits[h.ExecutionID] = by
		}
	}
	return waits
}

// blocking is the first holder that works on any of the folders, by its id or
// as store.ForeignHolder.
func blocking(instance int64, folders []job.Folder, holders []store.Holder) (by int64, busy bool) {
	for _, h := range holders {
		if !job.Collide(folders, h.Folders) {
			continue
		}
		if h.InstanceID != instance {
			return store.ForeignHolder, true
		}
		return h.ExecutionID, true
	}
	return 0, false
}

// known is an execution as the ledger names it: 0 for one of another instance.
func known(by int64) int64 { return max(by, 0) }
