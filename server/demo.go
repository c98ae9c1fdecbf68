package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// The demo's names; its client is found again by its title.
const (
	demoTitle  = "Demo"
	demoClient = "demo"
	demoRemote = "disk"
	demoFolder = "demo/source"
	demoCopy   = "demo/copy"
)

// demoFiles is what the demo job copies.
var demoFiles = map[string]string{
	"welcome.txt":         "This file was copied by Carillon.\n",
	"site/scan-001.txt":   "A point cloud would be here.\n",
	"site/scan-002.txt":   "And another one here.\n",
	"site/plans/roof.txt": "Put a file into this folder: it is copied within a minute.\n",
}

// demo seeds an empty database through the services, as any client would, and
// tells how to call them. A failure is logged: the service itself works.
func (s *Server) demo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.tryDemo(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("the demo could not be set up", "error", err)
	}
}

func (s *Server) tryDemo(ctx context.Context) error {
	seeded, err := s.store.Instances(ctx, nil, store.Page{Limit: 1})
	if err != nil {
		return err
	}
	if len(seeded) == 0 {
		if err := s.seedDemo(ctx); err != nil {
			return err
		}
	}
	client, err := s.findDemoClient(ctx)
	if err != nil || client.ID == 0 {
		return err
	}
	scopes, err := auth.ParseScopeList("scopes", client.Scopes)
	if err != nil {
		return err
	}
	token, err := s.issuer.ForClient(ctx, client, scopes, auth.DefaultTTL)
	if err != nil {
		return err
	}
	return s.printDemo(ctx, client, token.Text.Reveal())
}

// seedDemo makes an instance with a job that mirrors one folder into another.
func (s *Server) seedDemo(ctx context.Context) error {
	if err := s.writeDemoFiles(); err != nil {
		return err
	}
	operator, err := auth.ParseScopes("operator")
	if err != nil {
		return err
	}
	token, err := s.issuer.ForOperator(ctx, operator, time.Minute)
	if err != nil {
		return err
	}
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // every call has been answered
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token.Text.Reveal())
	instance, resource, err := seedTenant(ctx, conn)
	if err != nil {
		return err
	}
	return seedJob(ctx, conn, instance, resource)
}

func (s *Server) writeDemoFiles() error {
	for name, text := range demoFiles {
		file := filepath.Join(s.c.LocalRemoteRoot, filepath.FromSlash(demoFolder), filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func seedTenant(ctx context.Context, conn grpc.ClientConnInterface) (instanceID, resourceID string, err error) {
	instances := carillonv1.NewInstanceServiceClient(conn)
	instance, err := instances.CreateInstance(ctx, &carillonv1.CreateInstanceRequest{Instance: &carillonv1.Instance{
		Title: demoTitle, Description: "Made by carillon serve --demo.",
	}})
	if err != nil {
		return "", "", fmt.Errorf("create the demo instance: %w", err)
	}
	resource, err := instances.CreateResource(ctx, &carillonv1.CreateResourceRequest{
		InstanceId: instance.GetId(), Resource: &carillonv1.Resource{Title: "A disk of this machine"},
	})
	if err != nil {
		return "", "", fmt.Errorf("create the demo resource: %w", err)
	}
	_, err = instances.CreateClient(ctx, &carillonv1.CreateClientRequest{Client: &carillonv1.Client{
		Title: demoClient, Scopes: []string{"instance-*", "instance-create"}, InstanceIds: []string{instance.GetId()},
	}})
	if err != nil {
		return "", "", fmt.Errorf("create the demo client: %w", err)
	}
	config, err := structpb.NewStruct(map[string]any{demoRemote: map[string]any{"type": "local"}})
	if err != nil {
		return "", "", err
	}
	_, err = carillonv1.NewConfigServiceClient(conn).AddConfig(ctx, &carillonv1.AddConfigRequest{ResourceId: resource.GetId(), Config: config})
	if err != nil {
		return "", "", fmt.Errorf("store the demo config: %w", err)
	}
	return instance.GetId(), resource.GetId(), nil
}

func seedJob(ctx context.Context, conn grpc.ClientConnInterface, instanceID, resourceID string) error {
	workflow, err := structpb.NewStruct(map[string]any{"tasks": []any{map[string]any{
		"name": "sync", "type": "sync.files",
		"args": map[string]any{
			"resourceId": resourceID, "mode": "mirror",
			"remotes": []any{demoRemote + ":/" + demoFolder, demoRemote + ":/" + demoCopy},
		},
	}}})
	if err != nil {
		return err
	}
	jobs := carillonv1.NewJobServiceClient(conn)
	made, err := jobs.CreateJob(ctx, &carillonv1.CreateJobRequest{InstanceId: instanceID, Job: &carillonv1.Job{
		Name: "Mirror a folder", Description: "Makes " + demoCopy + " like " + demoFolder + ", every minute.",
		Workflow: workflow, FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(1),
	}})
	if err != nil {
		return fmt.Errorf("create the demo job: %w", err)
	}
	if _, err := jobs.RunJob(ctx, &carillonv1.RunJobRequest{JobId: made.GetId()}); err != nil {
		return fmt.Errorf("run the demo job: %w", err)
	}
	return nil
}

func (s *Server) findDemoClient(ctx context.Context) (job.Client, error) {
	clients, err := s.store.Clients(ctx, store.Page{Limit: 1000})
	if err != nil {
		return job.Client{}, err
	}
	for _, c := range clients {
		if c.Title == demoClient {
			return c, nil
		}
	}
	return job.Client{}, nil
}

// printDemo tells how to look at what the demo did.
func (s *Server) printDemo(ctx context.Context, client job.Client, token string) error {
	if len(client.InstanceIDs) == 0 {
		return errors.New("the demo client has no instance any more")
	}
	instance := job.KindInstance.Format(client.InstanceIDs[0])
	plaintext := "-plaintext "
	if s.certificate != nil {
		plaintext = ""
	}
	jobs, err := s.store.Jobs(ctx, client.InstanceIDs[0], store.Page{Limit: 1})
	if err != nil {
		return err
	}
	jobID, executionID := "job_1", "exec_1"
	if len(jobs) > 0 {
		jobID = job.KindJob.Format(jobs[0].ID)
		newest, err := s.store.ExecutionsOfJob(ctx, jobs[0].ID, store.Page{Limit: 1})
		if err != nil {
			return err
		}
		if len(newest) > 0 {
			executionID = job.KindExecution.Format(newest[0].ID)
		}
	}
	text := strings.NewReplacer("{http}", s.scheme()+s.Addresses().HTTP, "{grpc}", s.Addresses().GRPC, "{plaintext}", plaintext,
		"{instance}", instance, "{job}", jobID, "{execution}", executionID, "{token}", token, "{folder}", filepath.Join(s.c.LocalRemoteRoot, "demo"),
	).Replace(demoText)
	out := s.c.Out
	if out == nil {
		out = os.Stdout
	}
	_, err = fmt.Fprint(out, text)
	return err
}

const demoText = `
Carillon is running.

  Console  {http}    sign in with the token below
  REST     {http}/v1, described by /openapi.json
  GraphQL  {http}/graphql
  gRPC     {grpc}, with reflection

A demo job makes {folder}/copy like {folder}/source: it ran at once
and runs every minute. A token for it, good for four hours:

  export TOKEN={token}

See what ran, and read the log of the newest execution (REST):

  curl -sH "Authorization: Bearer $TOKEN" {http}/v1/jobs/{job}/executions
  curl -sH "Authorization: Bearer $TOKEN" {http}/v1/executions/{execution}/log

The same by gRPC and by GraphQL:

  grpcurl {plaintext}-H "Authorization: Bearer $TOKEN" -d '{"instance_id": "{instance}"}' \
    {grpc} carillon.v1.JobService/ListJobs

  curl -sH "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' {http}/graphql \
    -d '{"query": "{ getScheduledJobs(instanceId: \"{instance}\") { id name nextRun history { success createdAt signedLogUrl } } }"}'

Run it by hand:

  curl -sH "Authorization: Bearer $TOKEN" -X POST {http}/v1/jobs/{job}:run

`
