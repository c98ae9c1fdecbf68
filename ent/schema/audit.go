package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// AuditEvent is who did what. Nothing refers to it and it refers to nothing:
// it stays when what it names is gone.
type AuditEvent struct{ ent.Schema }

// Fields of AuditEvent.
func (AuditEvent) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("at").Immutable(),
		field.String("actor").Immutable(),
		field.String("token_id").Immutable(),
		field.Text("scopes").Immutable(),
		field.String("method").Immutable(),
		// object is the kind and the id: job_19, empty for none.
		field.String("object").Immutable(),
		// instance_id is 0 when it belongs to none.
		field.Int64("instance_id").Immutable(),
		field.String("peer").Immutable(),
		field.String("request_id").Immutable(),
		field.String("code").Immutable(),
		field.JSON("details", map[string]string{}).Optional().Immutable(),
	}
}

// Indexes of AuditEvent.
func (AuditEvent) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("instance_id", "id"),
		index.Fields("actor", "id"),
		index.Fields("object", "id"),
		index.Fields("at"),
	}
}
