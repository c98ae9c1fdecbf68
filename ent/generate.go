// Package ent is the generated database client. Only
// server/internal/store/entstore may import it; the schema is in ent/schema.
package ent

//go:generate go tool ent generate --feature sql/upsert,sql/lock,sql/modifier,sql/execquery,sql/versioned-migration ./schema
