// Package model is what the GraphQL schema's types are in Go. Most are the
// protobuf messages themselves; a wrapper stands where GraphQL answers null
// for what a message leaves empty, and scalars write and read the well-known
// messages as proto JSON does, so that a value reads the same on every door.
//
// Scalars are strict: a quoted number is no Int, 42.5 is no ID, a list is no
// JSON object. What they refuse is an [*InputError], which never holds the
// refused value.
package model
