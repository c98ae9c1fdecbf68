package interceptor

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that Codec wraps
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pointscene/carillon/server/internal/job"
)

// Codec is gRPC's codec for protobuf, except that bytes which are no message
// don't end the call as INTERNAL before the interceptors see it: the message
// is marked, and the chain tells of it after the token, as the caller's
// mistake, which it is. It also knows when a large answer was read. A server
// whose calls pass a [Chain] must use it.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if o, ok := v.(*outgoing); ok {
		return o.marshal()
	}
	return c.CodecV2.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	message, ok := v.(proto.Message)
	if err == nil || !ok {
		return err
	}
	proto.Reset(message)
	message.ProtoReflect().SetUnknown(malformed)
	return nil
}

// malformed marks a message by the identity of its bytes, which no sender can
// forge; what they say is an empty field that no message has.
var malformed = protoreflect.RawFields{0xfa, 0xff, 0xff, 0xff, 0x0f, 0x00}

// decoded refuses a message that was marked.
func decoded(message protoreflect.Message) error {
	if unknown := message.GetUnknown(); len(unknown) == 0 || &unknown[0] != &malformed[0] {
		return nil
	}
	return job.Invalid("", "MALFORMED_REQUEST", "the request is no message of this method; text must be valid UTF-8")
}
