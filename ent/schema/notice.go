package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Webhook is a receiver of notices.
type Webhook struct{ ent.Schema }

// Fields of Webhook.
func (Webhook) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("instance_id").Immutable(),
		field.Text("url"),
		field.Text("description"),
		// what it hears of: JSON of job.Hearing.
		field.Text("hears"),
		field.Bool("enabled"),
		field.String("disabled_reason").Default(""),
		field.Int64("version"),
		field.Int64("created_at").Immutable(),
		field.Int64("updated_at"),
		// heard_since is when its freshness began to count.
		field.Int64("heard_since"),
		// The secrets are sealed for a version of their own.
		field.Int64("secret_version"),
		field.Int64("previous_until").Default(0),
		field.Uint32("key_id"),
		field.Bytes("ciphertext").Sensitive(),
	}
}

// Indexes of Webhook.
func (Webhook) Indexes() []ent.Index {
	return []ent.Index{index.Fields("instance_id", "id"), index.Fields("key_id")}
}

// NoticeFeed is how far the changes of an instance have been told. There is
// one while the instance has webhooks.
type NoticeFeed struct{ ent.Schema }

// Fields of NoticeFeed. The id is the instance's.
func (NoticeFeed) Fields() []ent.Field {
	return []ent.Field{
		givenID(),
		field.Int64("version"),
		// floor: executions with ids up to it have been told, but for those in
		// position.
		field.Int64("floor"),
		// position is JSON of the exceptions and of what lasts and was told.
		field.Text("position"),
		// jobs_seen is the last job that was looked at for its freshness,
		// looked_at when that look through all jobs began.
		field.Int64("jobs_seen"),
		field.Int64("looked_at"),
	}
}

// JobStreak counts the failures of a job that failed last.
type JobStreak struct{ ent.Schema }

// Fields of JobStreak. The id is the job's.
func (JobStreak) Fields() []ent.Field {
	return []ent.Field{
		givenID(),
		field.Int64("instance_id").Immutable(),
		field.Int("failures"),
	}
}

// Indexes of JobStreak.
func (JobStreak) Indexes() []ent.Index { return []ent.Index{index.Fields("instance_id")} }

// JobFreshness is until when a webhook takes a job for fresh.
type JobFreshness struct{ ent.Schema }

// Fields of JobFreshness.
func (JobFreshness) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("instance_id").Immutable(),
		field.Int64("webhook_id").Immutable(),
		field.Int64("job_id").Immutable(),
		// since is the last success, or what counts as one.
		field.Int64("since"),
		// stood is for how long somebody had paused the job or its instance since
		// then, the last pause of the instance left out.
		field.Int64("stood").Default(0),
		// due is when it is not fresh any more; 0 for never, or when it was told.
		field.Int64("due"),
		field.Bool("stale"),
	}
}

// Indexes of JobFreshness.
func (JobFreshness) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("webhook_id", "job_id").Unique(),
		index.Fields("job_id"),
		index.Fields("instance_id", "due").StorageKey("job_freshness_due").Annotations(entsql.IndexWhere("(due > 0)")),
	}
}

// Notice is a change that is told.
type Notice struct{ ent.Schema }

// Fields of Notice.
func (Notice) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("instance_id").Immutable(),
		// key says which change it is, so that it is told once.
		field.String("key").Immutable().Unique(),
		field.String("event").Immutable(),
		field.Int64("job_id").Immutable(),
		field.Int64("execution_id").Immutable(),
		field.Int64("created_at").Immutable(),
		field.Text("body").Immutable(),
	}
}

// Indexes of Notice.
func (Notice) Indexes() []ent.Index { return []ent.Index{index.Fields("created_at")} }

// Delivery is a notice on its way to a webhook.
type Delivery struct{ ent.Schema }

// Fields of Delivery.
func (Delivery) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("notice_id").Immutable(),
		field.Int64("webhook_id").Immutable(),
		field.Int64("instance_id").Immutable(),
		field.Int64("job_id").Immutable(),
		field.String("event").Immutable(),
		field.String("state"),
		field.Int64("created_at").Immutable(),
		// next_at is when it is sent next: while it is being sent, when others
		// take the sender for dead. 0 when it is not sent any more.
		field.Int64("next_at"),
		// fence rises with every claim; tries counts attempts since the last
		// time that somebody asked for it.
		field.Int64("fence"),
		field.Int("tries"),
		field.Int64("finished_at"),
		// attempts is JSON of []job.DeliveryAttempt, empty for none.
		field.Text("attempts"),
	}
}

// Indexes of Delivery.
func (Delivery) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("webhook_id", "notice_id").Unique(),
		index.Fields("webhook_id").StorageKey("deliveries_open").Annotations(entsql.IndexWhere("(next_at > 0)")),
		index.Fields("notice_id"),
		index.Fields("instance_id", "id"),
		index.Fields("next_at").StorageKey("deliveries_due").Annotations(entsql.IndexWhere("(next_at > 0)")),
	}
}
