package entstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// The folders that an execution works on stand in its row, and it holds them as
// long as the row has an owner: what happens to the row of a replica that dies
// happens to them. So the lock is nothing but reading who has an owner, and
// claiming, in one transaction that no other such one overlaps.
//
// An execution without folders has an empty text there, and costs nothing: no
// lock is taken and nothing is read unless one with folders is to be claimed.

const (
	// foldersLock is PostgreSQL's advisory lock of whoever decides about folders.
	// Its holder waits for no row that others keep for longer than a statement.
	foldersLock = 0x6361_7269_6c6c_6f6e
	// maxCandidates bounds how many waiting executions are considered at a time.
	maxCandidates = 1000
	// sharedAccount begins the account of a remote that all instances share.
	sharedAccount = "server:"
)

// holdersQuery is in the order in which executions come: those that run, then
// the waiting ones.
const holdersQuery = `
SELECT a.id, a.job_id, a.instance_id, a.owner, a.trees, a.waiting_for
FROM active_executions a
WHERE length(a.trees) > 0 AND (a.owner <> 0 OR a.state = 'QUEUED' AND a.not_before <= $1)
ORDER BY CASE WHEN a.owner <> 0 THEN 0 ELSE 1 END, coalesce((SELECT s.priority FROM schedules s WHERE s.id = a.job_id), 0) DESC, a.not_before, a.id`

// holding is a holder with what its row says of its waiting.
type holding struct {
	store.Holder
	waitingFor int64
}

// lockFolders lets nobody else decide about folders until the transaction ends.
func (s *Store) lockFolders(r runner) error {
	if !s.postgres() {
		return nil // the one writer is alone
	}
	return r.exec("SELECT pg_advisory_xact_lock($1)", int64(foldersLock))
}

// readHolders lists who works on folders, or waits to and has come due.
func readHolders(r runner, due int64) (list []holding, err error) {
	waiting := 0
	err = r.rows(holdersQuery, func(scan func(...any) error) error {
		var h holding
		var owner int64
		var text string
		if err := scan(&h.ExecutionID, &h.JobID, &h.InstanceID, &owner, &text, &h.waitingFor); err != nil {
			return err
		}
		h.Running = owner != 0
		if h.Folders, err = foldersOf(text); err != nil {
			return fmt.Errorf("folders of execution %d: %w", h.ExecutionID, err)
		}
		if !h.Running {
			waiting++
		}
		if h.Running || waiting <= maxCandidates {
			list = append(list, h)
		}
		return nil
	}, due)
	return list, err
}

// accounts are what stored remotes say of themselves.
type accounts map[job.Folder]string

// readAccounts reads the accounts of the remotes of folders.
func readAccounts(r runner, all ...[]job.Folder) (accounts, error) {
	resources := map[int64]bool{}
	for _, folders := range all {
		for _, f := range folders {
			resources[f.ResourceID] = true
		}
	}
	found := accounts{}
	if len(resources) == 0 {
		return found, nil
	}
	ids := slices.Sorted(maps.Keys(resources))
	return found, r.rows(`SELECT resource_id, name, account FROM resource_configs WHERE resource_id IN (`+idList(ids)+`)`,
		func(scan func(...any) error) error {
			var f job.Folder
			var account string
			err := scan(&f.ResourceID, &f.Remote, &account)
			found[f] = account
			return err
		})
}

// in answers folders with their accounts. Equal credentials in two instances are
// no reason to wait: who could have made them up would else hold up others.
func (a accounts) in(instance int64, folders []job.Folder) []job.Folder {
	known := slices.Clone(folders)
	for i, f := range known {
		account := a[job.Folder{ResourceID: f.ResourceID, Remote: f.Remote}]
		if account != "" && !strings.HasPrefix(account, sharedAccount) {
			account = fmt.Sprintf("%d:%s", instance, account)
		}
		known[i].Account = account
	}
	return known
}

// guard tells due rows with folders who else has some. Without such a row
// nothing is locked or read.
func (s *Store) guard(r runner, rows []*dueRow, req store.ClaimRequest) ([]store.Holder, error) {
	if !slices.ContainsFunc(rows, func(d *dueRow) bool { return len(d.Folders) > 0 }) {
		return nil, nil
	}
	if err := s.lockFolders(r); err != nil {
		return nil, err
	}
	list, err := readHolders(r, micros(req.Ahead))
	if err != nil {
		return nil, err
	}
	var all [][]job.Folder
	for _, d := range rows {
		all = append(all, d.Folders)
	}
	for _, h := range list {
		all = append(all, h.Folders)
	}
	known, err := readAccounts(r, all...)
	if err != nil {
		return nil, err
	}
	for _, d := range rows {
		if len(d.Folders) > 0 {
			d.Folders = known.in(d.InstanceID, d.Folders)
		}
	}
	return holdersOf(list, known), nil
}

// holdersOf answers the holders, the waiting ones with their accounts of now.
func holdersOf(list []holding, known accounts) []store.Holder {
	holders := make([]store.Holder, len(list))
	for i, h := range list {
		holders[i] = h.Holder
		if !h.Running {
			holders[i].Folders = known.in(h.InstanceID, h.Folders)
		}
	}
	return holders
}

// tooSoon leaves a row for a later claim: one whose time has not come may be
// free until then, and one that collides with another of the same batch is told
// of that by its id, once there is one.
func (b *claimBatch) tooSoon(d *dueRow, ahead bool) bool {
	for _, h := range b.holders {
		if (ahead || h.ExecutionID == 0) && job.Collide(d.Folders, h.Folders) {
			b.again = b.again || !ahead
			return true
		}
	}
	d.Holders = b.holders
	return false
}

// hold notes the folders of a batch's executions in their rows.
func (b *claimBatch) hold(r runner) error {
	for i := range b.starts {
		start := &b.starts[i]
		if len(start.due.Folders) == 0 {
			continue
		}
		if err := r.exec(`UPDATE active_executions SET trees = $2 WHERE id = $1`, start.id, foldersText(start.due.Folders)); err != nil {
			return err
		}
	}
	return nil
}

// admission is what became of the waiting executions with folders.
type admission struct {
	// free are those that may start, in their order.
	free []int64
	// folders are theirs, with accounts.
	folders map[int64][]job.Folder
}

// admit asks which of the waiting may start, and notes what the others wait for.
func (s *Store) admit(r runner, req store.ClaimRequest, ask func([]store.Holder) map[int64]int64) (a admission, err error) {
	if err := s.lockFolders(r); err != nil {
		return a, err
	}
	list, err := readHolders(r, micros(req.Ahead))
	if err != nil {
		return a, err
	}
	var all [][]job.Folder
	for _, h := range list {
		all = append(all, h.Folders)
	}
	known, err := readAccounts(r, all...)
	if err != nil {
		return a, err
	}
	holders := holdersOf(list, known)
	blocked := ask(holders)
	a.folders = map[int64][]job.Folder{}
	for i, h := range holders {
		by, waits := blocked[h.ExecutionID]
		switch {
		case h.Running:
		case waits && by != list[i].waitingFor:
			if err := r.exec(`UPDATE active_executions SET waiting_for = $2 WHERE id = $1 AND owner = 0`, h.ExecutionID, by); err != nil {
				return a, err
			}
		case !waits && !slices.Contains(req.Full, h.InstanceID) && len(a.free) < req.Limit:
			a.free = append(a.free, h.ExecutionID)
			a.folders[h.ExecutionID] = h.Folders
		}
	}
	return a, nil
}

// hold notes the folders of executions that were taken.
func (a admission) hold(r runner, claimed []store.Claimed) error {
	for _, c := range claimed {
		err := r.exec(`UPDATE active_executions SET trees = $2, waiting_for = 0 WHERE id = $1`, c.ExecutionID, foldersText(a.folders[c.ExecutionID]))
		if err != nil {
			return err
		}
	}
	return nil
}
