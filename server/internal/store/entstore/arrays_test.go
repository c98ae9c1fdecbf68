package entstore

import (
	"math"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// TestFastArrays: what is encoded in one go is what the driver encodes.
func TestFastArrays(t *testing.T) {
	t.Parallel()
	m := pgtype.NewMap()
	for _, value := range []any{
		[]int64{}, []int64{0}, []int64{1, -1, math.MaxInt64, math.MinInt64},
		[]string{}, []string{""}, []string{"a", "", "\u00e9\"{}", "NULL"},
	} {
		oid := uint32(pgtype.Int8ArrayOID)
		if _, text := value.([]string); text {
			oid = pgtype.TextArrayOID
		}
		want, err := m.Encode(oid, pgtype.BinaryFormatCode, value, nil)
		if err != nil {
			t.Fatal(err)
		}
		usual, _ := m.TypeForOID(oid)
		plan := fastArrays{usual.Codec}.PlanEncode(m, oid, pgtype.BinaryFormatCode, value)
		got, err := plan.Encode(value, nil)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %x, %v; want %x", value, got, err, want)
		}
	}
}
