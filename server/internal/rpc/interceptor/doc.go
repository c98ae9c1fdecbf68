// Package interceptor is what every gRPC call passes on its way to a handler
// and back, the same for unary and streaming calls. A call takes these steps:
//
//  1. It gets a request id: the caller's x-request-id if that is sane, else a
//     new one. It is answered in the header and stands in every log line.
//  2. A unary call ends after [Options.MaxDuration] at the latest.
//  3. The bearer token of the authorization metadata, exactly one, is verified.
//     The method option carillon.v1.access says what the caller needs; a method
//     without it is refused, so that a forgotten option is no open door. That
//     of a stream is verified again while the stream lasts.
//  4. The work that the request asks for is taken from its client's bucket, and
//     after the next step from its instance's ([Options.ClientRate]): a page of
//     a thousand rows is more work than one object. The operator has no limit.
//  5. For READ and WRITE the object's identifier is taken from the request at
//     the declared path, and the instance that owns the object is looked up and
//     checked. An object that is missing and one that the token may not read
//     get the same answer.
//  6. The request's fields are validated: the proto's rules, and text and times
//     that can't be stored. This comes after authorization, so that a stranger
//     learns nothing.
//  7. The handler runs. The transaction of its change writes the audit event too.
//  8. A panic becomes an error, and every error becomes a google.rpc.Status in
//     one place: typed errors of package job with their details, anything else
//     as INTERNAL without its text.
//  9. The call is counted and logged in one line, never with its body. What a
//     transaction has not written of an audited call is written now: refusals
//     and failures.
package interceptor
