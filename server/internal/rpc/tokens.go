package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/seal"
)

var _ carillonv1.TokenServiceServer = (*tokenServer)(nil)

type tokenServer struct {
	carillonv1.UnsafeTokenServiceServer
	exchanger Exchanger
	keys      PublicKeys
	issuer    string
	access    AccessChecker
}

func (s *tokenServer) IssueToken(ctx context.Context, in *carillonv1.IssueTokenRequest) (*carillonv1.IssueTokenResponse, error) {
	token, err := s.exchanger.Exchange(ctx, auth.Request{
		GrantType: in.GetGrantType(), ClientID: in.GetClientId(), ClientSecret: seal.NewSecret(in.GetClientSecret()), Scope: in.GetScope(),
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.IssueTokenResponse{
		AccessToken: token.AccessToken.Reveal(), TokenType: "Bearer", ExpiresIn: int32(token.ExpiresIn), Scope: token.Scope,
	}, nil
}

func (s *tokenServer) GetSigningKeys(ctx context.Context, _ *carillonv1.GetSigningKeysRequest) (*carillonv1.GetSigningKeysResponse, error) {
	keys, err := s.keys.JWKS(ctx)
	if err != nil {
		return nil, err
	}
	return &carillonv1.GetSigningKeysResponse{Jwks: string(keys), Issuer: s.issuer}, nil
}

func (s *tokenServer) CheckAccess(ctx context.Context, in *carillonv1.CheckAccessRequest) (*carillonv1.CheckAccessResponse, error) {
	if err := s.access.CheckAccess(ctx, in.GetLevel(), in.GetKind(), in.GetObjectId()); err != nil {
		return nil, err
	}
	return &carillonv1.CheckAccessResponse{}, nil
}
