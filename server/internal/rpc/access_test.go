package rpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

var wrapFalse = wrapperspb.Bool(false)

// Every call that acts on an object, by callers who may write, read, or see
// nothing of it, and by one with the right to another tenant's.
func TestAccess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	res := b.resource(in).GetId()
	j := b.create(in, hourly(t)).GetId()
	run := b.run(j).GetId()

	type call = func(context.Context) error
	drop := func(_ any, err error) error { return err }
	reads := map[string]call{
		"GetInstance": func(c context.Context) error {
			return drop(b.instances.GetInstance(c, &carillonv1.GetInstanceRequest{InstanceId: in}))
		},
		"ListResources": func(c context.Context) error {
			return drop(b.instances.ListResources(c, &carillonv1.ListResourcesRequest{InstanceId: in}))
		},
		"GetResource": func(c context.Context) error {
			return drop(b.instances.GetResource(c, &carillonv1.GetResourceRequest{ResourceId: res}))
		},
		"GetConfig": func(c context.Context) error {
			return drop(b.config.GetConfig(c, &carillonv1.GetConfigRequest{ResourceId: res}))
		},
		"GetJob": func(c context.Context) error { return drop(b.jobs.GetJob(c, &carillonv1.GetJobRequest{JobId: j})) },
		"ListJobs": func(c context.Context) error {
			return drop(b.jobs.ListJobs(c, &carillonv1.ListJobsRequest{InstanceId: in}))
		},
		"ListOccurrences": func(c context.Context) error {
			return drop(b.jobs.ListOccurrences(c, &carillonv1.ListOccurrencesRequest{JobId: j}))
		},
		"ListExecutions": func(c context.Context) error {
			return drop(b.executions.ListExecutions(c, &carillonv1.ListExecutionsRequest{InstanceId: in}))
		},
		"ListExecutions of the job": func(c context.Context) error {
			return drop(b.executions.ListExecutions(c, &carillonv1.ListExecutionsRequest{JobId: j}))
		},
		"GetExecution": func(c context.Context) error {
			return drop(b.executions.GetExecution(c, &carillonv1.GetExecutionRequest{ExecutionId: run}))
		},
		"TailLog": func(c context.Context) error {
			stream, err := b.executions.TailLog(c, &carillonv1.TailLogRequest{ExecutionId: run})
			if err != nil {
				return err
			}
			return drop(receive(stream))
		},
	}
	// Each of them is refused for another reason than access: what passes the
	// guard is INVALID_ARGUMENT, NOT_FOUND of something else, or harmless.
	writes := map[string]call{
		"DeleteInstance": func(c context.Context) error {
			return drop(b.instances.DeleteInstance(c, &carillonv1.DeleteInstanceRequest{InstanceId: in}))
		},
		"CreateResource": func(c context.Context) error {
			return drop(b.instances.CreateResource(c, &carillonv1.CreateResourceRequest{InstanceId: in, ValidateOnly: true}))
		},
		"AddConfig": func(c context.Context) error {
			return drop(b.config.AddConfig(c, &carillonv1.AddConfigRequest{ResourceId: res, Config: document(t, `{}`)}))
		},
		"DeleteConfig": func(c context.Context) error {
			return drop(b.config.DeleteConfig(c, &carillonv1.DeleteConfigRequest{ResourceId: res}))
		},
		"CreateJob": func(c context.Context) error {
			return drop(b.jobs.CreateJob(c, &carillonv1.CreateJobRequest{InstanceId: in, Job: hourly(t), ValidateOnly: true}))
		},
		"UpdateJob": func(c context.Context) error {
			return drop(b.jobs.UpdateJob(c, &carillonv1.UpdateJobRequest{Job: &carillonv1.Job{Id: j, Name: "m"}, ValidateOnly: true}))
		},
		"DeleteJob": func(c context.Context) error {
			return drop(b.jobs.DeleteJob(c, &carillonv1.DeleteJobRequest{JobId: j, Etag: "no"}))
		},
		"PauseJob": func(c context.Context) error {
			return drop(b.jobs.PauseJob(c, &carillonv1.PauseJobRequest{JobId: j, Etag: "no"}))
		},
		"ResumeJob": func(c context.Context) error {
			return drop(b.jobs.ResumeJob(c, &carillonv1.ResumeJobRequest{JobId: j}))
		},
		"RunJob": func(c context.Context) error { return drop(b.jobs.RunJob(c, &carillonv1.RunJobRequest{JobId: j})) },
	}
	callers := []struct {
		scopes      string
		read, write codes.Code // OK means: passes the guard
	}{
		{"operator", codes.OK, codes.OK},
		{"instance-write-" + in[5:], codes.OK, codes.OK},
		{"instance-read-" + in[5:], codes.OK, codes.PermissionDenied},
		{"instance-write-" + other[5:], codes.NotFound, codes.NotFound},
		{"instance-create", codes.NotFound, codes.NotFound},
		{"instance-*", codes.NotFound, codes.NotFound},
		{"instance-read-" + in[5:] + "0", codes.NotFound, codes.NotFound},
	}
	check := func(t *testing.T, name string, err error, want codes.Code) {
		t.Helper()
		got := status.Code(err)
		if want == codes.OK {
			switch got {
			case codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.Internal:
				t.Errorf("%s: %v, want to pass", name, err)
			}
			return
		}
		if got != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	for _, caller := range callers {
		ctx := b.as(caller.scopes)
		for name, do := range reads {
			check(t, caller.scopes+": "+name, do(ctx), caller.read)
		}
		for name, do := range writes {
			check(t, caller.scopes+": "+name, do(ctx), caller.write)
		}
	}
	for name, do := range reads {
		check(t, "nobody: "+name, do(t.Context()), codes.Unauthenticated)
	}
	for name, do := range writes {
		check(t, "nobody: "+name, do(t.Context()), codes.Unauthenticated)
	}
	// A resource's scope is for the resource and its config only.
	reader, writer := b.as("resource-read-"+res[4:]), b.as("resource-write-"+res[4:])
	for _, name := range []string{"GetResource", "GetConfig"} {
		check(t, "resource reader: "+name, reads[name](reader), codes.OK)
	}
	check(t, "resource reader: AddConfig", writes["AddConfig"](reader), codes.PermissionDenied)
	check(t, "resource writer: AddConfig", writes["AddConfig"](writer), codes.OK)
	check(t, "resource writer: GetJob", reads["GetJob"](writer), codes.NotFound)
	check(t, "resource writer: GetInstance", reads["GetInstance"](writer), codes.NotFound)
}
