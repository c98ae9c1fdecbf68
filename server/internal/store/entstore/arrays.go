package entstore

import (
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// FastArrays makes a connection encode []int64 as bigint[], []string as text[] and
// []pgtype.TID as tid[] in one go. The engine's statements take some twenty elements of them for each
// execution; the driver's own way makes an object and three calls for each.
func FastArrays(conn *pgx.Conn) {
	types := conn.TypeMap()
	for _, oid := range []uint32{pgtype.Int8ArrayOID, pgtype.TextArrayOID, pgtype.TIDArrayOID} {
		if usual, ok := types.TypeForOID(oid); ok {
			types.RegisterType(&pgtype.Type{Name: usual.Name, OID: oid, Codec: fastArrays{usual.Codec}})
		}
	}
}

// fastArrays is a codec that takes a shorter way where it can.
type fastArrays struct{ pgtype.Codec }

// PlanEncode implements pgtype.Codec.
func (f fastArrays) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case []int64:
			if oid == pgtype.Int8ArrayOID {
				return int64Array{}
			}
		case []string:
			if oid == pgtype.TextArrayOID {
				return textArray{}
			}
		case []pgtype.TID:
			if oid == pgtype.TIDArrayOID {
				return tidArray{}
			}
		}
	}
	return f.Codec.PlanEncode(m, oid, format, value)
}

// int64Array, textArray and tidArray encode lists; nil is NULL before they are
// asked.
type (
	int64Array struct{}
	textArray  struct{}
	tidArray   struct{}
)

// Encode implements pgtype.EncodePlan.
func (int64Array) Encode(value any, to []byte) ([]byte, error) {
	list := value.([]int64)
	to = appendArray(to, pgtype.Int8OID, len(list), 8*len(list))
	for _, n := range list {
		to = binary.BigEndian.AppendUint32(to, 8)
		to = binary.BigEndian.AppendUint64(to, uint64(n))
	}
	return to, nil
}

// Encode implements pgtype.EncodePlan.
func (textArray) Encode(value any, to []byte) ([]byte, error) {
	list := value.([]string)
	size := 0
	for _, text := range list {
		size += len(text)
	}
	to = appendArray(to, pgtype.TextOID, len(list), size)
	for _, text := range list {
		to = binary.BigEndian.AppendUint32(to, uint32(len(text)))
		to = append(to, text...)
	}
	return to, nil
}

// Encode implements pgtype.EncodePlan.
func (tidArray) Encode(value any, to []byte) ([]byte, error) {
	list := value.([]pgtype.TID)
	to = appendArray(to, pgtype.TIDOID, len(list), 6*len(list))
	for _, row := range list {
		to = binary.BigEndian.AppendUint32(to, 6)
		to = binary.BigEndian.AppendUint32(to, row.BlockNumber)
		to = binary.BigEndian.AppendUint16(to, row.OffsetNumber)
	}
	return to, nil
}

// appendArray begins an array of one dimension, without NULLs, counted from 1,
// with room for its elements. A statement's arguments lie one behind the other, so
// an array that needs a longer buffer leaves room in it for four columns of numbers.
func appendArray(to []byte, element uint32, length, size int) []byte {
	const header, prefix, column = 20, 4, 4 + 8
	if own := header + length*prefix + size; cap(to)-len(to) < own {
		to = slices.Grow(to, own+4*(header+length*column))
	}
	for _, n := range [...]uint32{1, 0, element, uint32(length), 1} {
		to = binary.BigEndian.AppendUint32(to, n)
	}
	return to
}

// unless is a column of a statement, nil when every element is the usual one:
// then the statement puts that in its place, which costs less than an array.
func unless[T comparable](usual T, column []T) []T {
	for _, v := range column {
		if v != usual {
			return column
		}
	}
	return nil
}
