// Package graph is the GraphQL door: the surface of pointscene.graphqls, which
// existing clients rely on, and the rest of the API in carillon.graphqls.
//
// A request takes these steps; what the last of them leaves is executed by
// gqlgen's generated code in graph/exec:
//
//  1. http.go reads it as GraphQL over HTTP says, at most 1 MiB, and checks the
//     raw JSON (package strictjson).
//  2. limits.go counts tokens before anything is parsed, then depth and
//     expanded fields before anything is validated. What stands inside of a
//     JSON argument doesn't count.
//  3. literals.go checks the values in the query text by the rules that hold
//     for JSON, so that a literal and a variable get the same verdict.
//  4. The document is validated, the variables are coerced, and the cost, which
//     estimates how much would be answered, is limited.
//
// A request comes by GET or POST (http.go), by POST for server-sent events
// (events.go), or in a WebSocket (socket.go); only the last two take
// subscriptions. All go through the same steps.
//
// Rules:
//   - A resolver maps its arguments, makes one call and maps the answer. What
//     is allowed and what is valid is the service's to say.
//   - Every error has extensions code, reason and fieldViolations; none holds a
//     value of the request. gqlparser's messages do, so they are rewritten.
//   - Documents are not cached: their text may hold the credentials of an
//     addJobConfig, and parsing costs less than the call behind it.
package graph
