package entstore

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"github.com/pointscene/carillon/server/internal/store"
)

// querier is ent's client or transaction for hand-written statements.
// Parameters are $1, $2, … on both databases.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*stdsql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (stdsql.Result, error)
}

// collect runs a query and maps each row.
func collect[T any](ctx context.Context, q querier, one func(scan func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		value, err := one(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, rows.Err()
}

// single is collect for at most one row; none is sql.ErrNoRows.
func single[T any](ctx context.Context, q querier, one func(scan func(...any) error) (T, error), query string, args ...any) (T, error) {
	all, err := collect(ctx, q, one, query, args...)
	if err == nil && len(all) == 0 {
		err = stdsql.ErrNoRows
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

func scanID(scan func(...any) error) (id int64, err error) {
	err = scan(&id)
	return id, err
}

func scanText(scan func(...any) error) (text string, err error) {
	err = scan(&text)
	return text, err
}

// before is the exclusive upper bound of a page's ids.
func before(page store.Page) int64 {
	if page.Before == 0 {
		return math.MaxInt64
	}
	return page.Before
}

// idsIn is a predicate on the key that takes any number of ids as one
// parameter: both databases limit how many a statement has.
func idsIn(ids []int64) func(*sql.Selector) {
	return func(s *sql.Selector) {
		s.Where(sql.P(func(b *sql.Builder) {
			if b.Dialect() == dialect.Postgres {
				b.Ident(s.C("id")).WriteString(" = ANY(").Arg(ids).WriteString(")")
				return
			}
			b.Ident(s.C("id")).WriteString(" IN (SELECT value FROM json_each(").Arg(jsonIDs(ids)).WriteString("))")
		}))
	}
}

// inList is the text of a condition for parameter n, given as list.
func (s *Store) inList(column string, n int) string {
	if s.postgres() {
		return fmt.Sprintf("%s = ANY($%d)", column, n)
	}
	return fmt.Sprintf("%s IN (SELECT value FROM json_each($%d))", column, n)
}

// list is a parameter for inList.
func (s *Store) list(ids []int64) any {
	if s.postgres() {
		return ids
	}
	return jsonIDs(ids)
}

// idList is ids in SQL's own text, for statements without parameters.
func idList(ids []int64) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(text, ",")
}

// jsonIDs is the ids as a JSON array.
func jsonIDs(ids []int64) string {
	text, _ := json.Marshal(ids) // numbers only: it can't fail
	return string(text)
}
