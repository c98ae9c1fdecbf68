package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
)

// SealingKey says what a key of the keyset is for; the key itself lies in the
// keyset's file.
type SealingKey struct{ ent.Schema }

// Fields of SealingKey. The id is that in the keyset.
func (SealingKey) Fields() []ent.Field {
	return []ent.Field{
		givenID(),
		field.String("state"),
		field.Int64("created_at").Immutable(),
		field.Int64("changed_at"),
	}
}

// KeyHolder is a process that has opened the keyset.
type KeyHolder struct{ ent.Schema }

// Fields of KeyHolder. keys are the ids in its file, primary_key the one that
// it seals with.
func (KeyHolder) Fields() []ent.Field {
	return []ent.Field{
		field.String("id"),
		field.String("name"),
		field.JSON("keys", []uint32{}),
		field.Uint32("primary_key"),
		field.Int64("lives_until"),
	}
}
