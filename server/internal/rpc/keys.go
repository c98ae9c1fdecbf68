package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/keys"
	"github.com/pointscene/carillon/server/internal/store"
)

var _ carillonv1.KeyServiceServer = (*keyServer)(nil)

type keyServer struct {
	carillonv1.UnsafeKeyServiceServer
	keys *keys.Service
}

func (s *keyServer) ListKeys(ctx context.Context, _ *carillonv1.ListKeysRequest) (*carillonv1.ListKeysResponse, error) {
	list, err := s.keys.List(ctx)
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListKeysResponse{Keys: mapAll(list.Keys, keyMessage), WrappedBy: list.WrappedBy, Replicas: list.Holders}, nil
}

func (s *keyServer) AddKey(ctx context.Context, _ *carillonv1.AddKeyRequest) (*carillonv1.Key, error) {
	return keyAnswer(s.keys.Add(ctx))
}

func (s *keyServer) PromoteKey(ctx context.Context, in *carillonv1.PromoteKeyRequest) (*carillonv1.Key, error) {
	id, err := keyID(in.GetKeyId())
	if err != nil {
		return nil, err
	}
	return keyAnswer(s.keys.Promote(ctx, id))
}

func (s *keyServer) RewrapKeys(ctx context.Context, _ *carillonv1.RewrapKeysRequest) (*carillonv1.RewrapKeysResponse, error) {
	rewrapped, remaining, err := s.keys.Rewrap(ctx)
	if err != nil {
		return nil, err
	}
	return &carillonv1.RewrapKeysResponse{Rewrapped: int32(rewrapped), Remaining: int32(remaining)}, nil
}

func (s *keyServer) DisableKey(ctx context.Context, in *carillonv1.DisableKeyRequest) (*carillonv1.Key, error) {
	id, err := keyID(in.GetKeyId())
	if err != nil {
		return nil, err
	}
	return keyAnswer(s.keys.Disable(ctx, id))
}

func (s *keyServer) DestroyKey(ctx context.Context, in *carillonv1.DestroyKeyRequest) (*carillonv1.Key, error) {
	id, err := keyID(in.GetKeyId())
	if err != nil {
		return nil, err
	}
	return keyAnswer(s.keys.Destroy(ctx, id, in.GetForce()))
}

func (s *keyServer) ListSigningKeys(ctx context.Context, _ *carillonv1.ListSigningKeysRequest) (*carillonv1.ListSigningKeysResponse, error) {
	list, err := s.keys.ListSigning(ctx)
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListSigningKeysResponse{SigningKeys: mapAll(list, signingKeyMessage)}, nil
}

func (s *keyServer) RotateSigningKey(ctx context.Context, in *carillonv1.RotateSigningKeyRequest) (*carillonv1.SigningKey, error) {
	purpose := auth.PurposeToken
	if in.GetPurpose() == carillonv1.SigningKey_LINK {
		purpose = auth.PurposeLink
	}
	key, err := s.keys.RotateSigning(ctx, purpose, in.GetRevoke())
	if err != nil {
		return nil, err
	}
	return signingKeyMessage(key), nil
}

// keyID reads a sealing key's id, which is smaller than other identifiers.
func keyID(text string) (uint32, error) {
	id, err := idOf(job.KindKey, text)
	if err == nil && int64(uint32(id)) != id {
		err = job.KindKey.NotFound(text)
	}
	return uint32(id), err
}

func keyAnswer(key keys.Key, err error) (*carillonv1.Key, error) {
	if err != nil {
		return nil, err
	}
	return keyMessage(key), nil
}

func keyMessage(key keys.Key) *carillonv1.Key {
	return &carillonv1.Key{
		Id: textOf(job.KindKey, int64(key.ID)), State: carillonv1.Key_State(carillonv1.Key_State_value[string(key.State)]),
		CreatedAt: stamp(key.CreatedAt), ChangedAt: stamp(key.ChangedAt),
		SealedValues: int32(key.Sealed), MissingAt: key.MissingAt, SealingAt: key.SealingAt,
	}
}

func signingKeyMessage(key store.SigningKey) *carillonv1.SigningKey {
	purpose := carillonv1.SigningKey_TOKEN
	if key.Purpose == auth.PurposeLink {
		purpose = carillonv1.SigningKey_LINK
	}
	return &carillonv1.SigningKey{
		Id: key.ID, Purpose: purpose, CreatedAt: stamp(key.CreatedAt), ActiveAt: stamp(key.ActiveAt), RetiresAt: stamp(key.RetiresAt),
	}
}
