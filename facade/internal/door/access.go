package door

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Access asks the service what a caller may do.
type Access struct{ tokens carillonv1.TokenServiceClient }

// NewAccess asks over conn.
func NewAccess(conn grpc.ClientConnInterface) *Access {
	return &Access{tokens: carillonv1.NewTokenServiceClient(conn)}
}

// Need is what a call needs of its caller: a level, and for READ and WRITE an
// object. The zero Need is a valid token.
type Need struct {
	Level carillonv1.AccessRule_Level
	Kind  carillonv1.AccessObject_Kind
	ID    string
}

// Verdict is what the service says of a caller before it looks at any input:
// that it is unknown, must not know of an object, or may not do this; nil when it
// may. A service that is too old to say lets nobody pass.
func (a *Access) Verdict(ctx context.Context, need Need) error {
	_, err := a.tokens.CheckAccess(ctx, &carillonv1.CheckAccessRequest{Level: need.Level, Kind: need.Kind, ObjectId: need.ID})
	switch status.Code(err) {
	case codes.Unauthenticated, codes.NotFound, codes.PermissionDenied, codes.Unimplemented:
		return err
	}
	return nil
}

// callerHeader is the metadata by which the service answers who calls: client_3.
const callerHeader = "carillon-caller-bin"

// Caller is who the service takes a caller for, the same for all tokens of one
// client; the error says that it is unknown.
func (a *Access) Caller(ctx context.Context) (string, error) {
	var header metadata.MD
	_, err := a.tokens.CheckAccess(ctx, &carillonv1.CheckAccessRequest{}, grpc.Header(&header))
	switch status.Code(err) {
	case codes.Unauthenticated, codes.Unimplemented:
		return "", err
	}
	return strings.Join(header.Get(callerHeader), ""), nil
}
