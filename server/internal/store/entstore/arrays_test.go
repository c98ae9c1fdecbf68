package entstore

import (
	"fmt"
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
		[]pgtype.TID{}, []pgtype.TID{{BlockNumber: math.MaxUint32, OffsetNumber: 1, Valid: true}, {OffsetNumber: math.MaxUint16, Valid: true}},
	} {
		oid := map[string]uint32{"[]int64": pgtype.Int8ArrayOID, "[]string": pgtype.TextArrayOID, "[]pgtype.TID": pgtype.TIDArrayOID}[fmt.Sprintf("%T", value)]
		want, err := m.Encode(oid, pgtype.BinaryFormatCode, value, nil)
		if err != nil {
			t.Fatal(err)
		}
		usual, _ := m.TypeForOID(oid)
		plan := fastArrays{usual.Codec}.PlanEncode(m, oid, pgtype.BinaryFormatCode, value)
		before := []byte("before")
		got, err := plan.Encode(value, before)
		if want := slices.Concat(before, want); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %x, %v; want %x", value, got, err, want)
		}
		switch plan.(type) {
		case int64Array, textArray, tidArray:
		default:
			t.Errorf("%v goes the long way: %T", value, plan)
		}
	}
}
