package webhooks

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
)

// secretPrefix is that of the Standard Webhooks specification, secretBytes how
// many random bytes follow.
const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

// secrets are what a webhook signs with.
type secrets struct {
	Current  string `json:"current"`
	Previous string `json:"previous,omitempty"`
}

func newSecret() string {
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(random)
}

// sealSecrets seals the secrets of a version of a webhook.
func (s *Service) sealSecrets(id int64, as job.SealedSecrets, plain secrets) (job.SealedSecrets, error) {
	text, _ := json.Marshal(plain) // texts always encode
	defer clear(text)
	sealed, err := s.ring.Seal(text, seal.WebhookAD(id, as.Version))
	if err != nil {
		return job.SealedSecrets{}, fmt.Errorf("seal the secrets of webhook %d: %w", id, err)
	}
	as.KeyID, as.Ciphertext = sealed.KeyID, sealed.Ciphertext
	return as, nil
}

func (s *Service) openSecrets(w job.Webhook) (plain secrets, err error) {
	text, err := s.ring.Open(seal.Sealed{KeyID: w.Secrets.KeyID, Ciphertext: w.Secrets.Ciphertext}, seal.WebhookAD(w.ID, w.Secrets.Version))
	if err != nil {
		return plain, fmt.Errorf("open the secrets of webhook %d: %w", w.ID, err)
	}
	defer clear(text)
	if json.Unmarshal(text, &plain) != nil {
		return plain, fmt.Errorf("open the secrets of webhook %d: %w", w.ID, seal.ErrOpen)
	}
	return plain, nil
}

// Secrets are what a webhook signs with now, the newest first.
func (s *Service) Secrets(w job.Webhook, now time.Time) ([]seal.Secret, error) {
	plain, err := s.openSecrets(w)
	if err != nil {
		return nil, err
	}
	list := []seal.Secret{seal.NewSecret(plain.Current)}
	if plain.Previous != "" && now.Before(w.Secrets.PreviousUntil) {
		list = append(list, seal.NewSecret(plain.Previous))
	}
	return list, nil
}
