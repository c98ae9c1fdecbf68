package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/store"
)

// creation is a request that can be repeated under its request id.
type creation interface {
	proto.Message
	GetRequestId() string
}

// requestOf is how the store knows a repeat: the key binds caller, method,
// parent and request id, the digest is of everything else that this version
// knows. A use case whose fields have defaults takes a digest of its own.
func requestOf(ctx context.Context, method, parent string, request creation) (store.Request, error) {
	if request.GetRequestId() == "" {
		return store.Request{}, nil
	}
	caller, err := auth.Require(ctx)
	if err != nil {
		return store.Request{}, err
	}
	rest := proto.Clone(request).ProtoReflect()
	rest.Clear(rest.Descriptor().Fields().ByName("request_id"))
	rest.SetUnknown(nil)
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(rest.Interface())
	if err != nil {
		return store.Request{}, fmt.Errorf("encode a request of %s: %w", method, err)
	}
	by := caller.Subject
	if caller.ByHand() && !caller.Scopes.Operator() {
		by += " " + caller.Scopes.String() // whoever may do the same may be the same
	}
	name, _ := json.Marshal([]string{by, method, parent, request.GetRequestId()}) // texts always encode
	return store.Request{Key: digest(name), Digest: digest(text)}, nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
