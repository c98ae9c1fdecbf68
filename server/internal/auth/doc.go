// Package auth says who calls and what they may touch. It knows nothing of
// HTTP or gRPC: the doors hand it text and get verdicts.
//
// Rules:
//   - Denied is the default: a missing identity, an unknown scope or a failing
//     look-up never means "allowed".
//   - The three verdicts are the same everywhere. No valid token is a
//     *job.UnauthenticatedError. An object that is missing or that the token
//     may not read is the caller's not-found error; both take the same path
//     and ask the database the same questions. An object that the token may
//     read but not change is a *job.DeniedError.
//   - Scopes compare whole identifiers. Write implies read. instance-* stands
//     for the instances that are linked to the client at the time of the call,
//     never for all.
//   - An access token is an Ed25519-signed JWT of the type at+jwt (RFC 9068).
//     Algorithm, type and the set of header fields are fixed; the key comes
//     from the database by its id, never from the token. The client is looked
//     up at each call, so the tokens of a deleted client or of an old secret
//     are dead at once.
//   - Signing keys lie sealed in the database, each bound to its purpose, and
//     the public part is derived from the sealed one: who can write to the
//     database but lacks the keyset can't add a key.
//   - Client secrets are 256 random bits and are kept as SHA-256. The right
//     secret always passes; only failures are throttled, so that nobody can
//     lock a client out.
//   - Secrets and tokens travel as seal.Secret and stand in no error.
package auth
