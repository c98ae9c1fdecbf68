// Package door is what every HTTP door of the facade shares: how a request
// gets in, what of it reaches the service, and how a refusal looks.
//
// Rules:
//   - A refusal has one meaning on every door: a google.rpc.Status with
//     ErrorInfo always ([Fault]). Its text comes from the service's own
//     interceptor or from the facade; what gRPC itself reports, such as a dial
//     error, may name addresses and is replaced.
//   - No refusal and no log line holds a part of a body, a header or a query.
//   - Of a request's headers only those in call.go reach the service.
//   - The service authorizes before it validates. What the facade itself refuses
//     of a request is therefore told only to callers that may make the call
//     ([Access]).
package door
