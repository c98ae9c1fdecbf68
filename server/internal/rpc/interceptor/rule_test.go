package interceptor

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Every method of the contract says what its caller needs and where its object
// stands: default deny is no substitute for it.
func TestEveryMethodHasARule(t *testing.T) {
	t.Parallel()
	rules, err := readRules(protoregistry.GlobalFiles, "carillon.v1")
	if err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]carillonv1.AccessRule_Level{
		carillonv1.JobService_CreateJob_FullMethodName:             carillonv1.AccessRule_WRITE,
		carillonv1.JobService_PreviewSchedule_FullMethodName:       carillonv1.AccessRule_AUTHENTICATED,
		carillonv1.TaskService_ListTaskTypes_FullMethodName:        carillonv1.AccessRule_AUTHENTICATED,
		carillonv1.InstanceService_CreateClient_FullMethodName:     carillonv1.AccessRule_OPERATOR,
		carillonv1.ExecutionService_DownloadLog_FullMethodName:     carillonv1.AccessRule_PUBLIC,
		carillonv1.ExecutionService_TailLog_FullMethodName:         carillonv1.AccessRule_READ,
		carillonv1.InstanceService_CreateInstance_FullMethodName:   carillonv1.AccessRule_INSTANCE_CREATE,
		carillonv1.ConfigService_AddConfig_FullMethodName:          carillonv1.AccessRule_WRITE,
		carillonv1.ExecutionService_CancelExecution_FullMethodName: carillonv1.AccessRule_WRITE,
	} {
		if rules[method] == nil || rules[method].level != want {
			t.Errorf("rule of %s is %+v, want level %s", method, rules[method], want)
		}
	}
}

// No method is without a token by oversight.
func TestPublicMethods(t *testing.T) {
	t.Parallel()
	rules, err := readRules(protoregistry.GlobalFiles, "carillon.v1")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		carillonv1.ExecutionService_DownloadLog_FullMethodName: true, // the link is the permission
		carillonv1.TokenService_IssueToken_FullMethodName:      true, // the secret is
		carillonv1.TokenService_GetSigningKeys_FullMethodName:  true, // public by nature
	}
	for method, r := range rules {
		if r.level == carillonv1.AccessRule_PUBLIC && !want[method] {
			t.Errorf("%s needs no token", method)
		}
	}
}

func TestUnusableRules(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ rule, want string }{
		"no option":             {``, "has no option"},
		"no level":              {`objects {kind: JOB field: "job_id"}`, "has no option"},
		"read of nothing":       {`level: READ`, "with 0 objects"},
		"operator of an object": {`level: OPERATOR objects {kind: JOB field: "job_id"}`, "with 1 objects"},
		"no kind":               {`level: READ objects {field: "job_id"}`, "unknown kind"},
		"no field":              {`level: READ objects {kind: JOB}`, "no single field"},
		"unknown field":         {`level: READ objects {kind: JOB field: "jobid"}`, "no single field"},
		"unknown inner field":   {`level: READ objects {kind: JOB field: "job.uid"}`, "no single field"},
		"into a string":         {`level: READ objects {kind: JOB field: "job_id.id"}`, "no message"},
		"at a number":           {`level: READ objects {kind: JOB field: "count"}`, "no string"},
		"at a list":             {`level: READ objects {kind: JOB field: "ids"}`, "no single field"},
		"at a message":          {`level: READ objects {kind: JOB field: "job"}`, "no string"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readRules(filesWith(t, test.rule), "test")
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "test.S.Call") {
				t.Errorf("error is %v, want one with %q that names the method", err, test.want)
			}
		})
	}
	if _, err := readRules(filesWith(t, `level: WRITE objects {kind: JOB field: "job.id"}`), "test"); err != nil {
		t.Errorf("a usable rule is refused: %v", err)
	}
}

// Objects that may be left out must not be left out of the check by naming two.
func TestOptionalObjects(t *testing.T) {
	t.Parallel()
	files := filesWith(t, `level: READ objects {kind: JOB field: "job_id"} objects {kind: JOB field: "job.id"} objects_optional: true`)
	rules, err := readRules(files, "test")
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := files.FindDescriptorByName("test.Request")
	if err != nil {
		t.Fatal(err)
	}
	for text, allowed := range map[string]bool{``: true, `job_id: "job_1" job {id: "job_2"}`: false} {
		request := dynamicpb.NewMessage(descriptor.(protoreflect.MessageDescriptor))
		if err := prototext.Unmarshal([]byte(text), request); err != nil {
			t.Fatal(err)
		}
		if err := (&Chain{}).guard(t.Context(), &call{rule: rules["/test.S/Call"]}, request); (err == nil) != allowed {
			t.Errorf("%q: error %v, allowed %t", text, err, allowed)
		}
	}
}

// filesWith has the method test.S.Call with the access rule in text form; an
// empty one means that there is no option.
func filesWith(t *testing.T, rule string) *protoregistry.Files {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{}
	const text = `name: "test.proto" package: "test" syntax: "proto3"
		message_type {name: "Job" field {name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL}}
		message_type {name: "Request"
			field {name: "job_id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL}
			field {name: "job" number: 2 type: TYPE_MESSAGE type_name: ".test.Job" label: LABEL_OPTIONAL}
			field {name: "count" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL}
			field {name: "ids" number: 4 type: TYPE_STRING label: LABEL_REPEATED}}
		service {name: "S" method {name: "Call" input_type: ".test.Request" output_type: ".test.Job"}}`
	if err := prototext.Unmarshal([]byte(text), file); err != nil {
		t.Fatal(err)
	}
	if rule != "" {
		access := &carillonv1.AccessRule{}
		if err := prototext.Unmarshal([]byte(rule), access); err != nil {
			t.Fatal(err)
		}
		options := &descriptorpb.MethodOptions{}
		proto.SetExtension(options, carillonv1.E_Access, access)
		file.Service[0].Method[0].Options = options
	}
	descriptor, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := &protoregistry.Files{}
	if err := files.RegisterFile(descriptor); err != nil {
		t.Fatal(err)
	}
	return files
}
