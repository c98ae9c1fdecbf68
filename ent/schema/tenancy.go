package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Instance is a tenant.
type Instance struct{ ent.Schema }

// Fields of Instance.
func (Instance) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.String("title"),
		field.Text("description"),
		field.Int64("created_at"),
		// paused_at is 0 while the jobs run.
		field.Int64("paused_at").Default(0),
		field.Int64("paused_until").Default(0),
		field.String("pause_reason").Default(""),
		field.String("pause_actor").Default(""),
		// quota is JSON of job.Quota, empty when all are the defaults.
		field.Text("quota").Default(""),
	}
}

// Edges of Instance: it can't go while it has jobs or resources.
func (Instance) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("resources", Resource.Type).Annotations(entsql.OnDelete(entsql.Restrict)),
		edge.To("jobs", Job.Type).Annotations(entsql.OnDelete(entsql.Restrict)),
		edge.To("links", ClientInstance.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// InstanceHour counts the executions of an instance in an hour, while it has a
// limit of them.
type InstanceHour struct{ ent.Schema }

// Fields of InstanceHour.
func (InstanceHour) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("instance_id").Immutable(),
		// hour is its beginning.
		field.Int64("hour").Immutable(),
		field.Int64("executions"),
	}
}

// Indexes of InstanceHour.
func (InstanceHour) Indexes() []ent.Index {
	return []ent.Index{index.Fields("instance_id", "hour").Unique(), index.Fields("hour")}
}

// Resource owns stored credentials.
type Resource struct{ ent.Schema }

// Fields of Resource.
func (Resource) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("instance_id").Immutable(),
		field.String("title"),
		field.Text("description"),
		field.Int64("created_at"),
	}
}

// Edges of Resource: its config goes with it; a job that uses it keeps it.
func (Resource) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("instance", Instance.Type).Ref("resources").Field("instance_id").Unique().Required().Immutable(),
		edge.To("configs", ResourceConfig.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("uses", JobResource.Type).Annotations(entsql.OnDelete(entsql.Restrict)),
	}
}

// Indexes of Resource.
func (Resource) Indexes() []ent.Index {
	return []ent.Index{index.Fields("instance_id", "id")}
}

// ResourceConfig is one remote's sealed configuration.
type ResourceConfig struct{ ent.Schema }

// Fields of ResourceConfig. Only the names of the options are readable.
func (ResourceConfig) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("resource_id").Immutable(),
		field.String("name"),
		field.String("type"),
		field.Strings("keys"),
		field.Int64("version"),
		field.Uint32("key_id"),
		field.Bytes("ciphertext").Sensitive(),
		field.Int64("updated_at"),
		// account tells which remotes are one account; see job.Folder.
		field.String("account").Default(""),
		// expires_at is when the credentials end, token_expires_at when the
		// access token does; 0 when nobody knows.
		field.Int64("expires_at").Default(0),
		field.Int64("token_expires_at").Default(0),
		// refused_at is since when the credentials are refused, 0 while they
		// are not.
		field.Int64("refused_at").Default(0),
		field.Text("refused_reason").Default(""),
		// renewer holds the lock on the token until renewer_until.
		field.String("renewer").Default(""),
		field.Int64("renewer_until").Default(0),
	}
}

// Edges of ResourceConfig.
func (ResourceConfig) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("resource", Resource.Type).Ref("configs").Field("resource_id").Unique().Required().Immutable(),
	}
}

// Indexes of ResourceConfig.
func (ResourceConfig) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("resource_id", "name").Unique(), index.Fields("key_id"),
		// What CountRemotes counts.
		index.Fields("refused_at").StorageKey("resource_configs_refused").Annotations(entsql.IndexWhere("(refused_at > 0)")),
		index.Fields("expires_at").StorageKey("resource_configs_expiring").Annotations(entsql.IndexWhere("(expires_at > 0)")),
	}
}

// ServiceClient is a program that may ask for tokens.
type ServiceClient struct{ ent.Schema }

// Fields of ServiceClient.
func (ServiceClient) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.String("title"),
		field.Strings("scopes"),
		field.Bytes("secret_hash").Sensitive(),
		field.Int64("secret_version"),
		field.Int64("created_at"),
	}
}

// Annotations of ServiceClient: ent keeps the name Client for itself.
func (ServiceClient) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("clients")}
}

// Edges of ServiceClient.
func (ServiceClient) Edges() []ent.Edge {
	return []ent.Edge{edge.To("links", ClientInstance.Type).Annotations(entsql.OnDelete(entsql.Cascade))}
}

// ClientInstance says that instance-* of a client stands for an instance.
type ClientInstance struct{ ent.Schema }

// Fields of ClientInstance.
func (ClientInstance) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("client_id").Immutable(),
		field.Int64("instance_id").Immutable(),
	}
}

// Edges of ClientInstance.
func (ClientInstance) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("client", ServiceClient.Type).Ref("links").Field("client_id").Unique().Required().Immutable(),
		edge.From("instance", Instance.Type).Ref("links").Field("instance_id").Unique().Required().Immutable(),
	}
}

// Indexes of ClientInstance.
func (ClientInstance) Indexes() []ent.Index {
	return []ent.Index{index.Fields("client_id", "instance_id").Unique()}
}

// SigningKey signs tokens or links.
type SigningKey struct{ ent.Schema }

// Fields of SigningKey. slot is purpose for a purpose's first key, so that of
// replicas that race only one adds it.
func (SigningKey) Fields() []ent.Field {
	return []ent.Field{
		field.String("id"),
		field.String("purpose"),
		field.String("slot").Unique(),
		field.Bytes("public"),
		field.Uint32("key_id"),
		field.Bytes("sealed").Sensitive(),
		field.Int64("created_at"),
		// active_at and retires_at are 0 for at once and for never.
		field.Int64("active_at").Default(0),
		field.Int64("retires_at").Default(0),
	}
}

// RequestKey remembers a creation, so that its repeat answers the same.
type RequestKey struct{ ent.Schema }

// Fields of RequestKey.
func (RequestKey) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.String("key").Unique(),
		field.String("digest"),
		field.Int64("object_id"),
		field.Int64("created_at"),
	}
}

// Indexes of RequestKey.
func (RequestKey) Indexes() []ent.Index { return []ent.Index{index.Fields("created_at")} }
