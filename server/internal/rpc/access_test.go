package rpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
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
	using := hourly(t)
	using.Workflow = document(t, `{"tasks":[{"name":"a","type":"test.touch","args":{"resourceId":"`+res+`"}}]}`)
	j := b.create(in, using).GetId()
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
		"ListLatestExecutions": func(c context.Context) error {
			return drop(b.executions.ListLatestExecutions(c, &carillonv1.ListLatestExecutionsRequest{InstanceId: in, JobIds: []string{j}}))
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
	writes["CancelExecution"] = func(c context.Context) error {
		return drop(b.executions.CancelExecution(c, &carillonv1.CancelExecutionRequest{ExecutionId: run}))
	}
	writes["DeleteResource"] = func(c context.Context) error { // a job uses it
		return drop(b.instances.DeleteResource(c, &carillonv1.DeleteResourceRequest{ResourceId: res}))
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

// Every method that acts on an object, also one that nobody has thought of
// above, is closed to those who may not use it.
func TestEveryMethodIsClosed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	j := b.create(in, hourly(t)).GetId()
	hook := b.webhook(in)
	ids := map[carillonv1.AccessObject_Kind]string{
		carillonv1.AccessObject_INSTANCE: in, carillonv1.AccessObject_RESOURCE: b.resource(in).GetId(),
		carillonv1.AccessObject_JOB: j, carillonv1.AccessObject_EXECUTION: b.run(j).GetId(), carillonv1.AccessObject_BACKFILL: b.backfill(j).GetId(),
		carillonv1.AccessObject_WEBHOOK: hook.GetId(), carillonv1.AccessObject_DELIVERY: b.delivery(hook).GetId(),
	}
	callers := map[string]context.Context{
		"nobody": t.Context(), "stranger": b.as("instance-write-" + other[5:] + " instance-create instance-*"), "reader": b.as("instance-read-" + in[5:]),
	}
	tried := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("carillon.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for k := range file.Services().Get(i).Methods().Len() {
				method := file.Services().Get(i).Methods().Get(k)
				rule, _ := proto.GetExtension(method.Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
				for _, object := range rule.GetObjects() {
					request := naming(method.Input(), object.GetField(), ids[object.GetKind()])
					want := map[string]codes.Code{"nobody": codes.Unauthenticated, "stranger": codes.NotFound}
					if ids[object.GetKind()] == "" {
						t.Errorf("nobody tries %s on a %s", method.FullName(), object.GetKind())
					}
					if rule.GetLevel() == carillonv1.AccessRule_WRITE {
						want["reader"] = codes.PermissionDenied
					}
					for caller, code := range want {
						tried++
						if err := b.invoke(callers[caller], method, request); status.Code(err) != code {
							t.Errorf("%s by a %s: %v, want %s", method.FullName(), caller, err, code)
						}
					}
				}
			}
		}
		return true
	})
	if tried < 50 {
		t.Errorf("only %d calls were tried", tried)
	}
}

// naming is a request with the identifier at a path such as job.id.
func naming(request protoreflect.MessageDescriptor, path, id string) proto.Message {
	m := dynamicpb.NewMessage(request)
	at := m.ProtoReflect()
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		at = at.Mutable(at.Descriptor().Fields().ByName(protoreflect.Name(name))).Message()
	}
	at.Set(at.Descriptor().Fields().ByName(protoreflect.Name(names[len(names)-1])), protoreflect.ValueOfString(id))
	return m
}

// invoke calls a method, streaming or not, and reads one answer.
func (b *bundle) invoke(ctx context.Context, method protoreflect.MethodDescriptor, request proto.Message) error {
	name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	answer := dynamicpb.NewMessage(method.Output())
	if !method.IsStreamingServer() {
		return b.conn.Invoke(ctx, name, request, answer)
	}
	stream, err := b.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
		return err
	}
	return stream.RecvMsg(answer)
}
