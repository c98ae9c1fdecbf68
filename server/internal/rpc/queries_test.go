package rpc_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/store/entstore"
)

// counting is SQLite's driver, which counts statements.
type counting struct {
	driver.Driver
	statements *atomic.Int64
}

func (c counting) Open(name string) (driver.Conn, error) {
	conn, err := c.Driver.Open(name)
	return countingConn{conn, c.statements}, err
}

type countingConn struct {
	driver.Conn
	statements *atomic.Int64
}

func (c countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.statements.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c countingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.statements.Add(1)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.statements.Add(1)
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
}

func (c countingConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.statements.Add(1)
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

// Who may not read an object can't tell from the work that it costs whether it
// exists: every method, also one that nobody has thought of, asks the database
// as often for a foreign object as for one that is missing.
func TestForeignAndMissingCostTheSame(t *testing.T) {
	t.Parallel()
	plain, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	var statements atomic.Int64
	sql.Register("counting", counting{plain.Driver(), &statements})
	_ = plain.Close()
	b := setup(t, func(o *entstore.Options) { o.Driver = "counting" })
	in, own := b.instance().GetId(), b.instance().GetId()
	j := b.create(in, hourly(t)).GetId()
	hook := b.webhook(in)
	ids := map[carillonv1.AccessObject_Kind]string{
		carillonv1.AccessObject_INSTANCE: in, carillonv1.AccessObject_RESOURCE: b.resource(in).GetId(),
		carillonv1.AccessObject_JOB: j, carillonv1.AccessObject_EXECUTION: b.run(j).GetId(), carillonv1.AccessObject_BACKFILL: b.backfill(j).GetId(),
		carillonv1.AccessObject_WEBHOOK: hook.GetId(), carillonv1.AccessObject_DELIVERY: b.delivery(hook).GetId(),
	}
	strangers := map[string]context.Context{"by name": b.as("instance-write-" + own[5:]), "by link": b.as("instance-*"), "of a resource": b.as("resource-write-999")}
	cost := func(ctx context.Context, method protoreflect.MethodDescriptor, request proto.Message) int64 {
		before := statements.Load()
		if err := b.invoke(ctx, method, request); status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v, want NOT_FOUND", method.FullName(), err)
		}
		return statements.Load() - before
	}
	tried := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("carillon.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for k := range file.Services().Get(i).Methods().Len() {
				method := file.Services().Get(i).Methods().Get(k)
				rule, _ := proto.GetExtension(method.Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
				for _, object := range rule.GetObjects() {
					foreign, known := ids[object.GetKind()]
					if !known {
						t.Errorf("nobody tries %s on a %s", method.FullName(), object.GetKind())
						continue
					}
					missing := foreign[:strings.Index(foreign, "_")+1] + "888888"
					for name, ctx := range strangers {
						tried++
						request := func(id string) proto.Message { return naming(method.Input(), object.GetField(), id) }
						cost(ctx, method, request(missing)) // what is read once for all
						if a, b := cost(ctx, method, request(foreign)), cost(ctx, method, request(missing)); a != b || a == 0 {
							t.Errorf("%s by a stranger %s: %d statements for a foreign %s, %d for a missing one", method.Name(), name, a, object.GetKind(), b)
						}
					}
				}
			}
		}
		return true
	})
	if tried < 60 {
		t.Errorf("only %d calls were tried", tried)
	}
}
