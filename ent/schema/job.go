package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Job is a definition: what people read and change.
type Job struct{ ent.Schema }

// Fields of Job.
func (Job) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("instance_id").Immutable(),
		field.String("name"),
		field.Text("description"),
		field.Text("workflow"),
		field.JSON("labels", map[string]string{}).Optional(),
		field.Int64("version"),
		field.Int64("created_at").Immutable(),
		field.Int64("updated_at"),
		field.String("pause_reason").Default(""),
		field.String("pause_actor").Default(""),
		field.String("managed_by").Default(""),
		// pause_reauth: paused by the service until refused credentials are
		// replaced.
		field.Bool("pause_reauth").Default(false),
	}
}

// Edges of Job.
func (Job) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("instance", Instance.Type).Ref("jobs").Field("instance_id").Unique().Required().Immutable(),
		edge.To("uses", JobResource.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of Job.
func (Job) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("instance_id", "id"),
		// Two programs that apply the same file at once must not make a job twice.
		index.Fields("instance_id", "managed_by", "name").Unique().Annotations(entsql.IndexWhere("managed_by <> ''")),
		// What the service has paused is told by notices.
		index.Fields("instance_id").StorageKey("jobs_paused_by_system").Annotations(entsql.IndexWhere("pause_actor = 'system'")),
	}
}

// JobResource says that a job's workflow names a resource.
type JobResource struct{ ent.Schema }

// Fields of JobResource.
func (JobResource) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("job_id").Immutable(),
		field.Int64("resource_id").Immutable(),
	}
}

// Edges of JobResource.
func (JobResource) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("job", Job.Type).Ref("uses").Field("job_id").Unique().Required().Immutable(),
		edge.From("resource", Resource.Type).Ref("uses").Field("resource_id").Unique().Required().Immutable(),
	}
}

// Indexes of JobResource.
func (JobResource) Indexes() []ent.Index {
	return []ent.Index{index.Fields("job_id", "resource_id").Unique(), index.Fields("resource_id")}
}

// Schedule is the narrow state of a job that every claim reads and moves. Its
// id is the job's.
type Schedule struct{ ent.Schema }

// Fields of Schedule.
func (Schedule) Fields() []ent.Field {
	return []ent.Field{
		givenID(),
		field.Int64("instance_id").Immutable(),
		field.Bool("active"),
		// next_run is 0 when there is none.
		field.Int64("next_run"),
		field.String("type"),
		field.String("cron"),
		field.Int("minutes"),
		field.String("time_zone"),
		field.Int64("anchor"),
		// policies is JSON, empty when all are the defaults.
		field.Text("policies"),
		field.Int64("version"),
		// fence is the last one given to an attempt of the job.
		field.Int64("fence").Default(0),
		field.Int64("paused_at").Default(0),
		// options is JSON of job.ScheduleOptions, empty when all are the defaults.
		field.Text("options").StorageKey("extras").Default(""),
		field.Int("priority").Default(0),
		// started counts executions by schedule, failures those in a row that
		// did not succeed; each is kept only while a policy needs it.
		field.Int64("started").Default(0),
		field.Int("failures").Default(0),
		// paused_until is when a paused job resumes by itself; next_run is the
		// same then, so that the ticker comes by.
		field.Int64("paused_until").Default(0),
		// skip_id is the ledger row that the next skip of the same reason folds
		// into, 0 when an execution came after it.
		field.Int64("skip_id").Default(0),
		// folders is JSON of the []job.Folder that the workflow works on, empty for
		// none.
		field.Text("folders").StorageKey("trees").Default(""),
	}
}

// Annotations of Schedule: its id is the job's, never generated.
func (Schedule) Annotations() []schema.Annotation {
	incremental := false
	return []schema.Annotation{entsql.Annotation{Incremental: &incremental}}
}

// Indexes of Schedule. The predicate is in PostgreSQL's own spelling: any
// other one is taken for a change at each comparison.
func (Schedule) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("next_run").StorageKey("schedules_due").Annotations(entsql.IndexWhere("(next_run > 0)")),
		// Instances take turns by this one when there is more than can run, and
		// their jobs go by their priority.
		index.Fields("instance_id", "priority", "next_run").StorageKey("schedules_turns").Annotations(entsql.IndexWhere("(next_run > 0)")),
	}
}

// OccurrenceChange is a caller's wish about one occurrence to come.
type OccurrenceChange struct{ ent.Schema }

// Fields of OccurrenceChange.
func (OccurrenceChange) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("job_id").Immutable(),
		field.Int64("slot").Immutable(),
		// move_to is 0 when the occurrence is left out, -1 when it was moved
		// earlier and has started.
		field.Int64("move_to"),
	}
}

// Indexes of OccurrenceChange.
func (OccurrenceChange) Indexes() []ent.Index {
	return []ent.Index{index.Fields("job_id", "slot").Unique()}
}

// Backfill is a range of the past that is run as one.
type Backfill struct{ ent.Schema }

// Fields of Backfill.
func (Backfill) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("job_id").Immutable(),
		field.Int64("instance_id").Immutable(),
		field.Int64("range_from").Immutable(),
		field.Int64("range_to").Immutable(),
		field.Int("concurrency").Immutable(),
		field.String("overlap").Immutable(),
		field.String("state"),
		field.Int("total").Immutable(),
		field.Int("started"),
		// cursor is the last slot that was started, or the range's start.
		field.Int64("cursor"),
		field.Int64("created_at").Immutable(),
		field.Int64("finished_at"),
	}
}

// Indexes of Backfill: the open ones are few.
func (Backfill) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("id").StorageKey("backfills_open").Annotations(entsql.IndexWhere("(finished_at = 0)")),
		index.Fields("job_id"),
	}
}
