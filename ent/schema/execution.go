package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// ActiveExecution is an execution that has not ended: the table stays small.
type ActiveExecution struct{ ent.Schema }

// Fields of ActiveExecution.
func (ActiveExecution) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("job_id").Immutable(),
		field.Int64("instance_id").Immutable(),
		field.String("trigger").Immutable(),
		field.String("trigger_id").Immutable(),
		field.Int64("scheduled_for").Immutable(),
		// not_before is when the next attempt may start.
		field.Int64("not_before"),
		// waits: only while no other execution of the job has an owner.
		field.Bool("waits"),
		field.Int64("created_at").Immutable(),
		// owner is the replica that runs it, 0 while it waits for one.
		field.Int64("owner"),
		field.String("state"),
		field.Int("attempt"),
		field.Int64("fence"),
		field.Int64("first_started_at"),
		field.Int64("started_at"),
		// error is that of the last attempt, as JSON, empty for none.
		field.Text("error"),
		// tasks is JSON, empty before the first report.
		field.Text("tasks"),
		field.Int64("log_bytes"),
		// folders are as the job's; with an owner, these are the ones it holds.
		field.Text("folders").StorageKey("trees").Default(""),
		// waiting_for is the execution that holds them, 0 for none and -1 for
		// one of another instance.
		field.Int64("waiting_for").Default(0),
	}
}

// Indexes of ActiveExecution. The unique one is what makes an occurrence run
// once.
func (ActiveExecution) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("job_id", "scheduled_for", "trigger_id").Unique().StorageKey("active_executions_once"),
		index.Fields("not_before").StorageKey("active_executions_waiting").Annotations(entsql.IndexWhere("(owner = 0)")),
		index.Fields("id").StorageKey("active_executions_trees").Annotations(entsql.IndexWhere("(length(trees) > 0)")),
	}
}

// Execution is the history: written once, at the end.
type Execution struct{ ent.Schema }

// Fields of Execution. The id is the active execution's.
func (Execution) Fields() []ent.Field {
	return []ent.Field{
		givenID(),
		field.Int64("job_id").Immutable(),
		field.Int64("instance_id").Immutable(),
		field.String("trigger").Immutable(),
		field.String("trigger_id").Immutable(),
		field.Int64("scheduled_for").Immutable(),
		field.Int64("created_at").Immutable(),
		field.Int64("started_at").Immutable(),
		field.Int64("finished_at").Immutable(),
		field.String("state").Immutable(),
		field.Int("attempt").Immutable(),
		field.Int64("fence").Immutable(),
		field.Text("error").Immutable(),
		field.Text("tasks").Immutable(),
		field.Int64("log_bytes").Immutable(),
	}
}

// Indexes of Execution.
func (Execution) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("job_id", "scheduled_for", "trigger_id").Unique().StorageKey("executions_once"),
		index.Fields("job_id", "id"),
		index.Fields("instance_id", "id"),
	}
}

// Skip is the ledger of due instants that did not start.
type Skip struct{ ent.Schema }

// Fields of Skip.
func (Skip) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("job_id").Immutable(),
		field.Int64("instance_id").Immutable(),
		field.String("reason").Immutable(),
		field.Int64("first").Immutable(),
		field.Int64("last"),
		field.Int64("count"),
		field.Int64("blocked_by").Immutable(),
	}
}

// Indexes of Skip.
func (Skip) Indexes() []ent.Index {
	return []ent.Index{index.Fields("job_id", "last"), index.Fields("last")}
}

// Replica is a process that shares the database.
type Replica struct{ ent.Schema }

// Fields of Replica. session is the application_name of its connections and
// role the database user behind them: a process without any session is gone.
// steady_since is from when on it has renewed its lease without a gap.
func (Replica) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.String("name"),
		field.String("session"),
		field.String("role"),
		field.Int64("started_at"),
		field.Int64("lease_until"),
		field.Int64("steady_since").Default(0),
	}
}

// ExecutionFile is what became of one file of an execution.
type ExecutionFile struct{ ent.Schema }

// Fields of ExecutionFile.
func (ExecutionFile) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("execution_id").Immutable(),
		field.Int("attempt").Immutable(),
		field.String("task").Immutable(),
		field.String("remote").Immutable(),
		field.String("action").Immutable(),
		field.String("state").Immutable(),
		field.Text("path").Immutable(),
		field.Int64("size").Immutable(),
		field.String("reason").Immutable(),
		field.Text("message").Immutable(),
		field.Int64("at").Immutable(),
	}
}

// Indexes of ExecutionFile.
func (ExecutionFile) Indexes() []ent.Index {
	return []ent.Index{index.Fields("execution_id", "id")}
}

// FileAnnouncement holds files that are about to be changed, for the case that
// the replica dies before their records are written.
type FileAnnouncement struct{ ent.Schema }

// Fields of FileAnnouncement. files is JSON.
func (FileAnnouncement) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("execution_id").Immutable(),
		field.Text("files").Immutable(),
	}
}

// Indexes of FileAnnouncement.
func (FileAnnouncement) Indexes() []ent.Index {
	return []ent.Index{index.Fields("execution_id")}
}

// Approval is a plan that waits or waited for somebody. The id is the
// execution's; of several, one after the other, the last stays.
type Approval struct{ ent.Schema }

// Fields of Approval. plans and snapshot are JSON; the snapshot is emptied when
// the execution ends without going on.
func (Approval) Fields() []ent.Field {
	return []ent.Field{
		givenID(),
		field.Int("attempt"),
		field.String("state"),
		field.String("digest"),
		field.Text("plans"),
		field.Text("snapshot"),
		field.Int64("requested_at"),
		field.Int64("expires_at"),
		field.String("decided_by"),
		field.Int64("decided_at"),
	}
}

// JobMemory is what executions of a job remember for the next.
type JobMemory struct{ ent.Schema }

// Fields of JobMemory.
func (JobMemory) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("job_id").Immutable(),
		field.String("key").Immutable(),
		field.Bytes("value"),
	}
}

// Indexes of JobMemory.
func (JobMemory) Indexes() []ent.Index {
	return []ent.Index{index.Fields("job_id", "key").Unique()}
}
