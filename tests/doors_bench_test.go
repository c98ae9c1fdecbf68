package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// callers is how many clients wait for answers at once in BenchmarkDoors.
const callers = 16

// BenchmarkDoors asks the same of each door of one server, from sixteen clients
// at once on the same machine: a job, a page of 100 executions, a new job.
// x-grpc is the throughput as a part of the gRPC door's.
func BenchmarkDoors(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		benchmarkDoors(b, harness.Start(b, harness.Options{}))
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		benchmarkDoors(b, harness.StartReplicas(b, 1, pgtest.Open(b), harness.Options{})[0])
	})
}

func benchmarkDoors(b *testing.B, server *harness.Server) {
	tenant := server.NewTenant(b)
	job := tenant.Create(b, object{"name": "read", "overlapPolicy": "ALLOW"}, harness.Noop("a"))
	var last string
	for range 100 {
		last = tenant.Run(b, job)
	}
	tenant.End(b, last)
	conn, err := tenant.Operator.Conn()
	if err != nil {
		b.Fatal(err)
	}
	client := newLoadClient(b, server, tenant.Operator.Token)
	for _, c := range doorCalls(tenant, job, conn, client) {
		b.Run(c.rpc, func(b *testing.B) {
			perSecond := 0.0
			b.Run("gRPC", func(b *testing.B) { perSecond = underLoad(b, 0, c.grpc) })
			b.Run("REST", func(b *testing.B) { underLoad(b, perSecond, c.rest) })
			b.Run("GraphQL", func(b *testing.B) { underLoad(b, perSecond, c.graphql) })
		})
	}
}

// doorCall is one call on three doors.
type doorCall struct {
	rpc                 string
	grpc, rest, graphql func(context.Context) error
}

func doorCalls(tenant *harness.Tenant, job string, conn *grpc.ClientConn, client *loadClient) []doorCall {
	jobs, executions := carillonv1.NewJobServiceClient(conn), carillonv1.NewExecutionServiceClient(conn)
	as := tenant.Operator.Outgoing
	const jobFields = "{ id instanceId name description active workflow frequencyType cronExpression intervalMinutes timeZone nextRun lastRun createdAt updatedAt etag state }"
	const executionFields = "{ items { id jobId instanceId trigger scheduledFor startedAt finishedAt state success attempt logPath signedLogUrl createdAt tasks { name type state startedAt finishedAt } } cursor }"
	definition := `{"name":"made","frequencyType":"MANUAL","workflow":{"tasks":[{"name":"a","type":"util.noop"}]}}`
	create := &carillonv1.CreateJobRequest{InstanceId: tenant.Instance, Job: new(carillonv1.Job)}
	if err := protojson.Unmarshal([]byte(definition), create.GetJob()); err != nil {
		panic(err) // the text stands above
	}
	list := "/v1/instances/" + tenant.Instance
	return []doorCall{
		{
			rpc: "GetJob",
			grpc: func(ctx context.Context) error {
				_, err := jobs.GetJob(as(ctx), &carillonv1.GetJobRequest{JobId: job})
				return err
			},
			rest:    client.call(http.MethodGet, "/v1/jobs/"+job, ""),
			graphql: client.query(fmt.Sprintf("{ getScheduledJob(jobId: %q) %s }", job, jobFields)),
		},
		{
			rpc: "ListExecutions",
			grpc: func(ctx context.Context) error {
				_, err := executions.ListExecutions(as(ctx), &carillonv1.ListExecutionsRequest{InstanceId: tenant.Instance})
				return err
			},
			rest:    client.call(http.MethodGet, list+"/executions", ""),
			graphql: client.query(fmt.Sprintf("{ getInstanceJobHistory(instanceId: %q) %s }", tenant.Instance, executionFields)),
		},
		{
			rpc: "CreateJob",
			grpc: func(ctx context.Context) error {
				_, err := jobs.CreateJob(as(ctx), create)
				return err
			},
			rest: client.call(http.MethodPost, list+"/jobs", definition),
			graphql: client.query(fmt.Sprintf(`mutation { createScheduledJob(instanceId: %q, name: "made", frequencyType: MANUAL, `+
				`workflow: {tasks: [{name: "a", type: "util.noop"}]}) %s }`, tenant.Instance, jobFields)),
		},
	}
}

// underLoad calls from all clients at once, and answers the calls a second.
func underLoad(b *testing.B, beside float64, call func(context.Context) error) (perSecond float64) {
	var mu sync.Mutex
	var took []time.Duration
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(next *testing.PB) {
		var own []time.Duration
		for next.Next() {
			began := time.Now()
			if err := call(b.Context()); err != nil {
				b.Error(err)
				return
			}
			own = append(own, time.Since(began))
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, own...)
	})
	perSecond = float64(b.N) / b.Elapsed().Seconds()
	slices.Sort(took)
	b.ReportMetric(0, "ns/op") // the time of all clients together says nothing
	b.ReportMetric(perSecond, "req/s")
	if len(took) > 0 {
		b.ReportMetric(float64(took[len(took)*99/100])/float64(time.Millisecond), "p99-ms")
	}
	if beside > 0 {
		b.ReportMetric(perSecond/beside, "x-grpc")
	}
	return perSecond
}

// loadClient calls the HTTP door over connections that it keeps.
type loadClient struct {
	server *harness.Server
	token  string
	http   http.Client
}

func newLoadClient(b *testing.B, server *harness.Server, token string) *loadClient {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	return &loadClient{server: server, token: token, http: http.Client{Transport: transport}}
}

func (c *loadClient) query(text string) func(context.Context) error {
	body, _ := json.Marshal(map[string]string{"query": text}) // text always encodes
	return c.call(http.MethodPost, "/graphql", string(body))
}

func (c *loadClient) call(method, path, body string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, method, c.server.URL(path), strings.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+c.token)
		request.Header.Set("Content-Type", "application/json")
		answer, err := c.http.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && (answer.StatusCode != http.StatusOK || bytes.HasPrefix(text, []byte(`{"errors"`))) {
			err = fmt.Errorf("%s %s answered %s: %.300s", method, path, answer.Status, text)
		}
		return err
	}
}
