package seal

import "encoding/binary"

// AD is associated data: it names the one place where a sealed value may lie.
// The zero AD seals and opens nothing.
type AD struct{ encoded []byte }

// RemoteAD names one version of the configuration that is stored under the
// name remote for a resource.
func RemoteAD(resourceID int64, remote string, version int64) AD {
	return newAD("carillon/remote/v1", number(resourceID), []byte(remote), number(version))
}

// SigningKeyAD names the signing key keyID that serves one purpose.
func SigningKeyAD(purpose, keyID string) AD {
	return newAD("carillon/signing-key/v1", []byte(purpose), []byte(keyID))
}

// WebhookAD names one version of the secrets of a webhook.
func WebhookAD(webhookID, version int64) AD {
	return newAD("carillon/webhook/v1", number(webhookID), number(version))
}

// newAD writes each field after its length, so that no two lists of fields
// have the same encoding.
func newAD(kind string, fields ...[]byte) AD {
	encoded := appendField(nil, []byte(kind))
	for _, field := range fields {
		encoded = appendField(encoded, field)
	}
	return AD{encoded: encoded}
}

func appendField(to, field []byte) []byte {
	to = binary.BigEndian.AppendUint64(to, uint64(len(field)))
	return append(to, field...)
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
