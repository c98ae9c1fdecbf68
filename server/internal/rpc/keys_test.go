package rpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// sealingKeys lists the keys, oldest first.
func (b *bundle) sealingKeys() []*carillonv1.Key {
	b.t.Helper()
	return must(b.keys.ListKeys(b.operator, &carillonv1.ListKeysRequest{}))(b.t).GetKeys()
}

func (b *bundle) promote(id string) error {
	_, err := b.keys.PromoteKey(b.operator, &carillonv1.PromoteKeyRequest{KeyId: id})
	return err
}

func (b *bundle) disable(id string) error {
	_, err := b.keys.DisableKey(b.operator, &carillonv1.DisableKeyRequest{KeyId: id})
	return err
}

func (b *bundle) destroy(id string, force bool) error {
	_, err := b.keys.DestroyKey(b.operator, &carillonv1.DestroyKeyRequest{KeyId: id, Force: force})
	return err
}

// A key's whole life, with every step that is refused before its time.
func TestRotationOfTheSealingKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.resource(b.instance().GetId()).GetId()
	must(b.config.AddConfig(b.operator, &carillonv1.AddConfigRequest{ResourceId: res, Config: document(t, `{"a":{"type":"s3","secret_access_key":"x"},"b":{"type":"s3"}}`)}))(t)

	old := b.sealingKeys()[0]
	if old.GetState() != carillonv1.Key_PRIMARY || old.GetSealedValues() != 4 || len(old.GetSealingAt()) != 1 || len(old.GetMissingAt()) != 0 {
		t.Fatalf("at first the key is %v; want the primary one, with two configs and two signing keys", old)
	}
	wantCode(t, b.disable(old.GetId()), codes.FailedPrecondition, "KEY_IS_PRIMARY")
	wantCode(t, b.destroy(old.GetId(), true), codes.FailedPrecondition, "KEY_IN_USE")

	fresh := must(b.keys.AddKey(b.operator, &carillonv1.AddKeyRequest{}))(t)
	if fresh.GetState() != carillonv1.Key_ENABLED || fresh.GetSealedValues() != 0 {
		t.Errorf("a new key is %v", fresh)
	}
	for range 2 { // again is no error
		if err := b.promote(fresh.GetId()); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.disable(old.GetId()), codes.FailedPrecondition, "KEY_STILL_SEALS")
	// What is written now is sealed by the new key.
	must(b.config.AddConfig(b.operator, &carillonv1.AddConfigRequest{ResourceId: res, Config: document(t, `{"b":{"type":"s3","region":"r"}}`)}))(t)
	done := must(b.keys.RewrapKeys(b.operator, &carillonv1.RewrapKeysRequest{}))(t)
	if done.GetRewrapped() != 3 || done.GetRemaining() != 0 {
		t.Errorf("rewrap answers %v, want the three others", done)
	}
	for range 2 {
		if err := b.disable(old.GetId()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		if _, err := b.configs.For(1, 1).Remote(t.Context(), res, name); err != nil {
			t.Errorf("remote %s after the rotation: %v", name, err)
		}
	}
	wantCode(t, b.destroy(old.GetId(), false), codes.FailedPrecondition, "KEY_DISABLED_RECENTLY")
	for range 2 {
		if err := b.destroy(old.GetId(), true); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.promote(old.GetId()), codes.FailedPrecondition, "KEY_DESTROYED")
	if left := b.ring.KeyIDs(); len(left) != 1 || job.KindKey.Format(int64(left[0])) != fresh.GetId() {
		t.Errorf("the file holds %v, want only the new key", left)
	}
	for _, unknown := range []string{"key_4", "key_4294967296", "job_1", "x"} {
		wantCode(t, b.promote(unknown), codes.NotFound, "")
	}
}

// No step goes ahead of a process that has not followed.
func TestRotationWaitsForOtherReplicas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.ring.PrimaryKeyID()
	fresh := must(b.keys.AddKey(b.operator, &carillonv1.AddKeyRequest{}))(t).GetId()
	id, _ := job.KindKey.Parse(fresh)
	other := func(primary uint32, keys ...uint32) {
		if err := b.store.ReportKeys(t.Context(), store.KeyHolder{ID: "other", Name: "elsewhere/7", Keys: keys, Primary: primary}, 1<<40); err != nil {
			t.Fatal(err)
		}
	}
	other(old, old)
	wantCode(t, b.promote(fresh), codes.FailedPrecondition, "KEY_NOT_HELD")
	if at := b.sealingKeys()[1].GetMissingAt(); len(at) != 1 || at[0] != "elsewhere/7" {
		t.Errorf("the new key is missing at %q", at)
	}
	other(old, old, uint32(id))
	if err := b.promote(fresh); err != nil {
		t.Fatal(err)
	}
	must(b.keys.RewrapKeys(b.operator, &carillonv1.RewrapKeysRequest{}))(t)
	wantCode(t, b.disable(job.KindKey.Format(int64(old))), codes.FailedPrecondition, "KEY_IN_USE")
	other(uint32(id), old, uint32(id))
	if err := b.disable(job.KindKey.Format(int64(old))); err != nil {
		t.Fatal(err)
	}
	// The way back.
	if err := b.promote(job.KindKey.Format(int64(old))); err != nil {
		t.Fatal(err)
	}
}

// What does not open keeps nothing else from being sealed anew.
func TestRewrapPassesDamage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.resource(b.instance().GetId())
	number, _ := job.KindResource.Parse(res.GetId())
	broken := job.SealedRemote{Name: "a", Type: "s3", Version: 1, KeyID: b.ring.PrimaryKeyID(), Ciphertext: []byte("damage")}
	if err := b.store.ChangeRemotes(t.Context(), number, []job.SealedRemote{broken}, nil); err != nil {
		t.Fatal(err)
	}
	must(b.config.AddConfig(b.operator, &carillonv1.AddConfigRequest{ResourceId: res.GetId(), Config: document(t, `{"b":{"type":"s3"}}`)}))(t)
	if err := b.promote(must(b.keys.AddKey(b.operator, &carillonv1.AddKeyRequest{}))(t).GetId()); err != nil {
		t.Fatal(err)
	}
	done := must(b.keys.RewrapKeys(b.operator, &carillonv1.RewrapKeysRequest{}))(t)
	if done.GetRewrapped() != 3 || done.GetRemaining() != 1 {
		t.Errorf("rewrap answers %v, want three done and the damaged one left", done)
	}
	_, err := b.keys.RewrapKeys(b.operator, &carillonv1.RewrapKeysRequest{})
	wantCode(t, err, codes.FailedPrecondition, "CONFIG_UNREADABLE")
}

func TestKeysAreForOperators(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for who, ctx := range map[string]context.Context{"tenant": b.as("instance-write-1 instance-create"), "nobody": t.Context()} {
		want := codes.PermissionDenied
		if who == "nobody" {
			want = codes.Unauthenticated
		}
		_, list := b.keys.ListKeys(ctx, &carillonv1.ListKeysRequest{})
		_, destroy := b.keys.DestroyKey(ctx, &carillonv1.DestroyKeyRequest{})
		_, rotate := b.keys.RotateSigningKey(ctx, &carillonv1.RotateSigningKeyRequest{})
		for _, err := range []error{list, destroy, rotate} {
			wantCode(t, err, want, "")
		}
	}
}

func TestRotationOfSigningKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.keys.RotateSigningKey(b.operator, &carillonv1.RotateSigningKeyRequest{})
	wantCode(t, err, codes.InvalidArgument, "")
	fresh := must(b.keys.RotateSigningKey(b.operator, &carillonv1.RotateSigningKeyRequest{Purpose: carillonv1.SigningKey_LINK}))(t)
	list := must(b.keys.ListSigningKeys(b.operator, &carillonv1.ListSigningKeysRequest{}))(t).GetSigningKeys()
	if len(list) != 3 || fresh.GetActiveAt() == nil || fresh.GetRetiresAt() != nil {
		t.Fatalf("the new key is %v, all are %v", fresh, list)
	}
	must(b.keys.RotateSigningKey(b.operator, &carillonv1.RotateSigningKeyRequest{Purpose: carillonv1.SigningKey_TOKEN, Revoke: true}))(t)
	_, err = b.keys.ListKeys(b.operator, &carillonv1.ListKeysRequest{})
	wantCode(t, err, codes.Unauthenticated, "")
}
