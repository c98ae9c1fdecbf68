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
	}
}

// Indexes of ActiveExecution. The unique one is what makes an occurrence run
// once.
func (ActiveExecution) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("job_id", "scheduled_for", "trigger_id").Unique().StorageKey("active_executions_once"),
		index.Fields("not_before").StorageKey("active_executions_waiting").Annotations(entsql.IndexWhere("(owner = 0)")),
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
func (Replica) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.String("name"),
		field.String("session"),
		field.String("role"),
		field.Int64("started_at"),
		field.Int64("lease_until"),
	}
}
