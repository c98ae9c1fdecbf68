// Package cli is the client half of the program: commands for people and
// scripts, over gRPC.
//
// Rules:
//   - It knows the contract in gen and a connection, nothing of the server.
//   - What is for people goes to standard error or is a table; with -o json or
//     -o yaml standard output holds exactly one document (or one a line, where a
//     command streams), in the contract's JSON names.
//   - The exit code says how it went, see [Exit]. Every refusal of the service is
//     printed with each path and reason.
//   - Secrets come from a file, standard input or the environment, never from an
//     argument, which other users of the machine can read. They are stored only
//     in the profile, mode 0600, and sent only over TLS, to loopback, or when
//     plain text was asked for by name.
//   - Text of others (names, logs) is printed without control characters: it
//     must not steer the reader's terminal.
//   - What to change is decided by pure functions (manifest.go, plan.go); the
//     commands show that plan, then do it.
package cli
