package job

import (
	"strconv"
	"strings"
)

// MaxID is the largest identifier, 2^53-1: it survives a JSON double.
const MaxID = 1<<53 - 1

// Kind is the prefix of an identifier's text form.
type Kind string

// The kinds of identifiers that callers see.
const (
	KindInstance  Kind = "inst"
	KindResource  Kind = "res"
	KindClient    Kind = "client"
	KindJob       Kind = "job"
	KindExecution Kind = "exec"
	KindBackfill  Kind = "backfill"
	KindKey       Kind = "key"
	KindAudit     Kind = "audit"
	KindWebhook   Kind = "webhook"
	KindDelivery  Kind = "delivery"
)

// Format returns the text form, such as job_19.
func (k Kind) Format(id int64) string { return string(k.Append(make([]byte, 0, 32), id)) }

// Append appends the text form.
func (k Kind) Append(text []byte, id int64) []byte {
	return strconv.AppendInt(append(append(text, k...), '_'), id, 10)
}

// Parse reads an identifier with this kind's prefix or without any. It
// answers false for everything else: another prefix, signs, leading zeros,
// zero, or more than MaxID.
func (k Kind) Parse(text string) (int64, bool) {
	digits := strings.TrimPrefix(text, string(k)+"_")
	if digits == "" || digits[0] < '1' || digits[0] > '9' || len(digits) > 16 {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || id > MaxID {
		return 0, false
	}
	return id, true
}

// Name is the kind in words: "execution".
func (k Kind) Name() string {
	switch k {
	case KindInstance:
		return "instance"
	case KindResource:
		return "resource"
	case KindExecution:
		return "execution"
	default:
		return string(k)
	}
}

// Missing is the error for an object of this kind that is not there.
func (k Kind) Missing(id int64) *NotFoundError { return k.NotFound(k.Format(id)) }

// NotFound is the same for an identifier as the caller wrote it.
func (k Kind) NotFound(text string) *NotFoundError { return &NotFoundError{Kind: k.Name(), ID: text} }
