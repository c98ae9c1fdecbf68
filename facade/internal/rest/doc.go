// Package rest is the REST door: grpc-gateway on the service's connection,
// behind checks that tell exactly what is wrong with a request.
//
// A request takes these steps:
//
//  1. The gateway finds the route; the routes themselves come from the HTTP
//     rules of the protos ([newRoutes]).
//  2. The query is checked against the request's message: a parameter that is
//     unknown, given twice or of the wrong type is refused by name.
//  3. The body is checked as raw text (package strictjson), then field by field
//     against the message: unknown fields and wrong types are refused with
//     their path. An identifier given as an integer becomes text. null means
//     absent.
//  4. PATCH: without updateMask, the mask names the fields that are present.
//     Fields that only the service sets are ignored, as google.aip.dev/203
//     says, so that a resource that was read can be sent back.
//  5. The gateway calls the service and answers the message as JSON with
//     lowerCamelCase names; fields without a value are present,
//     but enums that are not set.
//
// A request that the facade refuses in steps 2 and 3 reaches the service only
// as the question whether the caller may read the object: authorization comes
// before validation.
//
// Streams have handlers of their own, in streams.go.
package rest
