package model

import carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"

// The answers about keys. They are wrapped because gqlgen passes what is never
// null by value, which a message must not be.
type (
	// Key is a sealing key.
	Key struct{ *carillonv1.Key }
	// KeyList is all of them.
	KeyList struct{ *carillonv1.ListKeysResponse }
	// KeyRewrap is how far sealing anew is.
	KeyRewrap struct{ *carillonv1.RewrapKeysResponse }
	// SigningKey signs tokens or links.
	SigningKey struct{ *carillonv1.SigningKey }
	// SigningKeyList is all of them.
	SigningKeyList struct {
		*carillonv1.ListSigningKeysResponse
	}
)

// Keys are never null.
func (l *KeyList) Keys() []*Key {
	list := make([]*Key, len(l.GetKeys()))
	for i, key := range l.GetKeys() {
		list[i] = &Key{key}
	}
	return list
}

// SigningKeys are never null.
func (l *SigningKeyList) SigningKeys() []*SigningKey {
	list := make([]*SigningKey, len(l.GetSigningKeys()))
	for i, key := range l.GetSigningKeys() {
		list[i] = &SigningKey{key}
	}
	return list
}
