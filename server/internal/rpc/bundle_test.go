package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/configs"
	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/executions"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/keys"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/rpc"
	"github.com/pointscene/carillon/server/internal/rpc/interceptor"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/sealtest"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
	"github.com/pointscene/carillon/server/internal/webhooks"
	"github.com/pointscene/carillon/tests/sqlitetest"
)

// clock is a time that tests move by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// touch is a task type that names a resource.
type touch struct{ util.Noop }

func (touch) Name() string { return "test.touch" }

func (touch) Schema() []byte {
	return []byte(`{"description": "Touches a resource.", "type": "object", "properties": {"resourceId": {"type": ["string", "integer"]}},
		"required": ["resourceId"], "additionalProperties": false, "examples": [{"resourceId": "res_7"}]}`)
}

func (touch) Resources(args task.Args) []task.ResourceRef {
	id, _ := task.IDText(args["resourceId"])
	return []task.ResourceRef{{Path: "resourceId", ID: id}}
}

// Folders says that it works on the resource's remote a.
func (touch) Folders(args task.Args) []task.Folder {
	id, _ := task.IDText(args["resourceId"])
	return []task.Folder{{ResourceID: id, Remote: "a", Path: "/", Writes: true}}
}

// parseRemote stands for the real list of types, whose package brings the
// library that moves files.
func parseRemote(name string, raw map[string]any) (string, map[string]string, error) {
	kind, _ := raw["type"].(string)
	if kind != "s3" {
		return "", nil, job.Invalid("config."+task.Field(name)+".type", "UNKNOWN_REMOTE_TYPE", "must be s3")
	}
	options := map[string]string{}
	for key, value := range raw {
		text, ok := value.(string)
		if !ok {
			return "", nil, job.Invalid("config."+task.Field(name)+"."+task.Field(key), "WRONG_TYPE", "must be a string")
		}
		if key != "type" {
			options[key] = text
		}
	}
	return kind, options, nil
}

// remoteFacts stands for the real ones.
func remoteFacts(_ string, options map[string]string, now time.Time) (string, job.Expiry) {
	e := job.Expiry{}
	if options["token"] != "" {
		e.Credentials = now.Add(time.Hour)
	}
	if options["month"] != "" {
		e.Credentials = now.AddDate(0, 0, 30)
	}
	return options["account"], e
}

// tryRemote stands for the real trial.
func tryRemote(_ context.Context, config task.RemoteConfig, folder string, _ bool) (job.RemoteTest, error) {
	return job.RemoteTest{Remote: config.Name + ":" + folder, Type: config.Type, Results: []job.CheckResult{{Check: job.CheckConnect, Outcome: job.CheckOK}}}, nil
}

// bundle is a server with a database of its own and its clients.
type bundle struct {
	t testing.TB
	// folder holds the database.
	folder  string
	clock   *clock
	store   *entstore.Store
	logs    *executionlog.Store
	configs *configs.Service
	ring    *seal.Keyring
	issuer  *auth.Issuer
	server  *grpc.Server
	output  *syncBuffer
	conn    *grpc.ClientConn

	jobs       carillonv1.JobServiceClient
	executions carillonv1.ExecutionServiceClient
	instances  carillonv1.InstanceServiceClient
	config     carillonv1.ConfigServiceClient
	tasks      carillonv1.TaskServiceClient
	tokens     carillonv1.TokenServiceClient
	keys       carillonv1.KeyServiceClient
	notices    carillonv1.NoticeServiceClient
	operator   context.Context
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

const publicURL = "https://carillon.example"

func setup(t testing.TB, edit ...func(*entstore.Options)) *bundle {
	t.Helper()
	b := &bundle{t: t, clock: &clock{now: time.Date(2026, 5, 4, 12, 0, 30, 500_000_000, time.UTC)}, output: &syncBuffer{}}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	o := entstore.Options{URL: sqlitetest.Open(t, migrate), Timeout: time.Minute} // the machine is shared
	b.folder = filepath.Dir(strings.TrimPrefix(o.URL, "file:"))
	for _, f := range edit {
		f(&o)
	}
	b.store, err = entstore.Open(t.Context(), o)
	check(err)
	t.Cleanup(func() { _ = b.store.Close() })
	b.logs, err = executionlog.Open(t.Context(), "file://"+t.TempDir(), executionlog.Options{})
	check(err)
	t.Cleanup(func() { _ = b.logs.Close() })

	ring := sealtest.Keyring(t)
	b.ring = ring
	signing := auth.NewKeys(b.store, ring, b.clock.Now)
	check(signing.EnsureKeys(t.Context()))
	identity := auth.Identity{Issuer: publicURL, Audience: "carillon"}
	b.issuer = auth.NewIssuer(signing, identity, b.clock.Now)
	authorizer := auth.NewAuthorizer(b.store)
	chain, err := interceptor.New(interceptor.Options{
		Verifier:   auth.NewVerifier(signing, b.store, identity, b.clock.Now),
		Authorizer: authorizer, Owners: b.store, Audit: b.store, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(b.output, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: time.Now,
	})
	check(err)
	b.configs = configs.New(b.store, authorizer, ring, parseRemote, remoteFacts, b.clock.Now)
	b.configs.TestWith(tryRemote)
	types := task.NewRegistry(util.Noop{}, util.Sleep{}, touch{})
	rotation := keys.New(keys.Options{
		Store: b.store, Keyring: ring, Signing: signing, Authorizer: authorizer, Name: "here", Log: slog.New(slog.DiscardHandler),
	})
	check(rotation.Start(t.Context()))
	b.server = rpc.NewServer(rpc.Deps{
		Jobs:      jobs.New(b.store, authorizer, types, b.clock.Now),
		Types:     types,
		Instances: instances.New(b.store, authorizer, b.clock.Now),
		Configs:   b.configs,
		Executions: executions.New(executions.Options{
			Store: b.store, Authorizer: authorizer, Logs: b.logs, Links: auth.NewLinkSigner(signing, b.clock.Now), PublicURL: publicURL, Now: b.clock.Now,
		}),
		Webhooks:  webhooks.New(b.store, authorizer, ring, b.clock.Now),
		Exchanger: auth.NewExchanger(b.store, b.store, b.issuer, b.clock.Now),
		Keys:      signing, Rotation: rotation, Issuer: publicURL, Chain: chain, Health: health.NewServer(),
	})
	b.dial()
	b.operator = b.as("operator")
	return b
}

// migrate makes the database that tests get copies of.
func migrate(url string) error {
	s, err := entstore.Open(context.Background(), entstore.Options{URL: url, Timeout: time.Minute})
	if err != nil {
		return err
	}
	_, err = s.Migrate(context.Background())
	return errors.Join(err, s.Close())
}

// dial serves and connects the clients.
func (b *bundle) dial() {
	b.t.Helper()
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = conn.Close()
		b.server.Stop()
		if err := <-served; err != nil {
			b.t.Errorf("serve: %v", err)
		}
	})
	b.conn = conn
	b.jobs = carillonv1.NewJobServiceClient(conn)
	b.executions = carillonv1.NewExecutionServiceClient(conn)
	b.instances = carillonv1.NewInstanceServiceClient(conn)
	b.config = carillonv1.NewConfigServiceClient(conn)
	b.tasks = carillonv1.NewTaskServiceClient(conn)
	b.tokens = carillonv1.NewTokenServiceClient(conn)
	b.keys = carillonv1.NewKeyServiceClient(conn)
	b.notices = carillonv1.NewNoticeServiceClient(conn)
}

// as is a context with an operator-made token of these scopes.
func (b *bundle) as(scopes string) context.Context {
	b.t.Helper()
	parsed, err := auth.ParseScopes(scopes)
	if err != nil {
		b.t.Fatal(err)
	}
	token, err := b.issuer.ForOperator(b.t.Context(), parsed, auth.MaxTTL)
	if err != nil {
		b.t.Fatal(err)
	}
	return bearer(b.t.Context(), token.Text.Reveal())
}

func bearer(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func (b *bundle) instance() *carillonv1.Instance {
	b.t.Helper()
	return must(b.instances.CreateInstance(b.operator, &carillonv1.CreateInstanceRequest{}))(b.t)
}

func (b *bundle) resource(instance string) *carillonv1.Resource {
	b.t.Helper()
	return must(b.instances.CreateResource(b.operator, &carillonv1.CreateResourceRequest{InstanceId: instance}))(b.t)
}

// must is the answer of a call that has to succeed.
func must[T any](answer T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func document(t testing.TB, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := s.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

const noop = `{"tasks":[{"name":"a","type":"util.noop"}]}`

// hourly is a valid job.
func hourly(t testing.TB) *carillonv1.Job {
	return &carillonv1.Job{
		Name: "hourly", Workflow: document(t, noop), FrequencyType: carillonv1.Job_CRON_BASED, CronExpression: wrapperspb.String("0 * * * *"),
	}
}

func (b *bundle) create(instance string, j *carillonv1.Job) *carillonv1.Job {
	b.t.Helper()
	return must(b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: instance, Job: j}))(b.t)
}

func (b *bundle) update(j *carillonv1.Job, paths ...string) (*carillonv1.Job, error) {
	in := &carillonv1.UpdateJobRequest{Job: j}
	in.UpdateMask = maskOf(paths...)
	return b.jobs.UpdateJob(b.operator, in)
}

func (b *bundle) get(id string) *carillonv1.Job {
	b.t.Helper()
	return must(b.jobs.GetJob(b.operator, &carillonv1.GetJobRequest{JobId: id}))(b.t)
}

// tick lets the ticker decide what is due now; the executions wait for a
// replica.
func (b *bundle) tick() {
	b.t.Helper()
	now := b.clock.Now()
	_, _, err := b.store.ClaimDue(b.t.Context(), store.ClaimRequest{Now: now, Ahead: now, Limit: 100},
		func(due store.Due) store.Decision { return policy.Due(due, now) })
	if err != nil {
		b.t.Fatal(err)
	}
}

// tickAhead lets a replica claim what is due before a time that is to come.
func (b *bundle) tickAhead(replica int64, ahead time.Time) {
	b.t.Helper()
	now := b.clock.Now()
	_, _, err := b.store.ClaimDue(b.t.Context(), store.ClaimRequest{Owner: replica, Now: now, Ahead: ahead, Limit: 100},
		func(due store.Due) store.Decision { return policy.Due(due, now) })
	if err != nil {
		b.t.Fatal(err)
	}
}

// wantCode checks a call's verdict, and that it carries its ErrorInfo.
func wantCode(t testing.TB, err error, want codes.Code, reason string) {
	t.Helper()
	if status.Code(err) != want {
		t.Fatalf("error is %v, want %s", err, want)
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "carillon" && (reason == "" || info.GetReason() == reason) {
			return
		}
	}
	t.Errorf("details of %v are %v, want an ErrorInfo with reason %s", err, status.Convert(err).Details(), reason)
}

// violations lists the fields and reasons of an error, in order.
func violations(err error) (list []string) {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				list = append(list, v.GetField()+" "+v.GetReason())
			}
		}
	}
	slices.Sort(list)
	return list
}

// receive reads a stream to its end.
func receive[T any](stream grpc.ServerStreamingClient[T]) (list []*T, err error) {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, m)
	}
}
