package executor

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"sync/atomic"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workflow"
)

// What is kept of opened workflows: most jobs run again and again as they are,
// and many differ in nothing but their schedule.
const (
	keptWorkflows = 2048
	// keptBytes is the longest text that is kept.
	keptBytes = 4 << 10
)

// workflows opens workflows and keeps those that come again. It is safe for
// concurrent use.
type workflows struct {
	types *task.Registry
	seed  maphash.Seed
	// kept has a place for each hash, which the last text to come again takes: a
	// list of the last used would need a lock, and every attempt would take it.
	kept [keptWorkflows]atomic.Pointer[openWorkflow]
	// seen are texts that came once: to keep a text that never comes again costs
	// more than to open it.
	seen [4 * keptWorkflows]atomic.Uint64
}

// openWorkflow is a workflow that was parsed and checked. Attempts share it and
// change nothing in it.
type openWorkflow struct {
	*workflow.Workflow
	text []byte
	// kinds are the types of the tasks.
	kinds []task.Type
	// resources are those that the tasks name.
	resources []task.ResourceRef
}

func newWorkflows(types *task.Registry) *workflows {
	return &workflows{types: types, seed: maphash.MakeSeed()}
}

// open parses and checks a stored workflow again: types and rules may have
// changed since it was stored, but not since this process began.
func (w *workflows) open(text json.RawMessage) (*openWorkflow, error) {
	key := maphash.Bytes(w.seed, text)
	place := &w.kept[key%uint64(len(w.kept))]
	if known := place.Load(); known != nil && bytes.Equal(known.text, text) {
		return known, nil
	}
	parsed, err := workflow.Read(text)
	if err != nil {
		return nil, err
	}
	if err := workflow.Check(parsed, w.types); err != nil {
		return nil, err
	}
	opened := &openWorkflow{Workflow: parsed, text: text, kinds: make([]task.Type, len(parsed.Tasks)), resources: parsed.Resources(w.types)}
	for i, t := range parsed.Tasks {
		opened.kinds[i], _ = w.types.Lookup(t.Type) // it was checked
	}
	if len(text) <= keptBytes && w.seen[key%uint64(len(w.seen))].Swap(key) == key {
		place.Store(opened)
	}
	return opened, nil
}

// open opens the attempt's workflow, and checks what may have changed at any
// moment: whose resources it names.
func (e *Executor) open(a *attempt) (*openWorkflow, error) {
	w, err := e.workflows.open(a.Workflow)
	if err != nil {
		return nil, err
	}
	if id, ok := job.KindInstance.Parse(w.InstanceID); w.InstanceID != "" && (!ok || id != a.InstanceID) {
		return nil, job.Invalid("workflow.instanceId", "INSTANCE_MISMATCH", "must be the job's instance")
	}
	if len(w.resources) > 0 {
		return w, e.o.CheckResources(a.ctx, a.InstanceID, w.resources)
	}
	return w, nil
}
