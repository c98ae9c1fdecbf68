package rpc

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/task"
)

// mask says which fields of a job a request is about. Without a mask it is
// about those that are present. A field that a mask names without a value
// becomes empty (name, description, labels, times and dates) or its default
// (time zone, policies, limits and priority); the others can't be empty and stay
// as they are, and so does active: nobody resumes a job by leaving it out.
type mask map[string]bool

const retryField = "retry_policy"

// newMask reads a request's update_mask; nil for none.
func newMask(paths *fieldmaskpb.FieldMask) (mask, error) {
	if len(paths.GetPaths()) == 0 {
		return nil, nil
	}
	m := mask{}
	var bad job.InvalidError
	for _, path := range paths.GetPaths() {
		switch name, rest, inner := strings.Cut(path, "."); {
		case path == "*":
			for _, field := range writable() {
				m[field] = true
			}
		case !known(name):
			bad.Add("updateMask", task.ReasonUnknownField, "a job has no field %.64q", path)
		case slices.Contains(checked, name):
			// They are compared, not changed.
		case !slices.Contains(writable(), name):
			bad.Add("updateMask", "OUTPUT_ONLY", "the field %s can't be changed", name)
		case !inner, name == "workflow": // a workflow changes as a whole
			m[name] = true
		case name == retryField && retryFields.ByName(protoreflect.Name(rest)) != nil:
			m[path] = true
		default:
			bad.Add("updateMask", task.ReasonUnknownField, "a job has no field %.64q", path)
		}
	}
	return m, bad.Err()
}

var (
	jobDescriptor = (&carillonv1.Job{}).ProtoReflect().Descriptor()
	retryFields   = (&carillonv1.RetryPolicy{}).ProtoReflect().Descriptor().Fields()
	// checked are the fields that a request is checked against.
	checked = []string{"id", "instance_id", "etag"}
)

func known(name string) bool { return jobDescriptor.Fields().ByName(protoreflect.Name(name)) != nil }

// writable lists the fields of a job that callers can change.
func writable() []string {
	var names []string
	for i := range jobDescriptor.Fields().Len() {
		field := jobDescriptor.Fields().Get(i)
		behaviour, _ := proto.GetExtension(field.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
		if name := string(field.Name()); !slices.Contains(behaviour, annotations.FieldBehavior_OUTPUT_ONLY) && !slices.Contains(checked, name) {
			names = append(names, name)
		}
	}
	return names
}

// about tells whether the request is about a field.
func (m mask) about(name string, present bool) bool {
	if m == nil {
		return present
	}
	return m[name]
}

// fieldsOf reads what a message says of a job.
func fieldsOf(in *carillonv1.Job, m mask) jobs.Fields {
	f := jobs.Fields{InstanceID: said(in.GetInstanceId())}
	if m.about("name", in.GetName() != "") {
		f.Name = &in.Name
	}
	if m.about("description", in.GetDescription() != "") {
		f.Description = &in.Description
	}
	if m.about("managed_by", in.GetManagedBy() != "") {
		f.ManagedBy = &in.ManagedBy
	}
	if m.about("active", true) {
		f.Active = in.Active
	}
	if m.about("workflow", true) && in.GetWorkflow() != nil {
		f.Workflow = object(in.GetWorkflow())
	}
	if m.about("labels", len(in.GetLabels()) > 0) {
		f.Labels = &in.Labels
	}
	scheduleFields(&f, m, in)
	policyFields(&f, m, in)
	return f
}

// timing is what a job and a preview say alike of a schedule.
type timing interface {
	GetFrequencyType() carillonv1.Job_FrequencyType
	GetCronExpression() *wrapperspb.StringValue
	GetIntervalMinutes() *wrapperspb.Int32Value
	GetDstGapPolicy() carillonv1.DaylightSaving_GapPolicy
	GetDstOverlapPolicy() carillonv1.DaylightSaving_OverlapPolicy
	GetStartTime() *timestamppb.Timestamp
	GetEndTime() *timestamppb.Timestamp
	GetJitter() *durationpb.Duration
	GetExcludedDates() []string
}

func scheduleFields(f *jobs.Fields, m mask, in timing) {
	if t := in.GetFrequencyType(); m.about("frequency_type", true) && t != carillonv1.Job_FREQUENCY_TYPE_UNSPECIFIED {
		f.Type = new(job.FrequencyType(t.String()))
	}
	if c := in.GetCronExpression(); m.about("cron_expression", true) && c != nil {
		f.Cron = &c.Value
	}
	if i := in.GetIntervalMinutes(); m.about("interval_minutes", true) && i != nil {
		f.IntervalMinutes = new(int(i.GetValue()))
	}
	var zone *string
	switch in := in.(type) {
	case *carillonv1.Job:
		zone = in.TimeZone
	case *carillonv1.PreviewScheduleRequest:
		zone = in.TimeZone
	}
	if m["time_zone"] && zone == nil {
		f.TimeZone = new(job.DefaultTimeZone)
	} else if m.about("time_zone", true) {
		f.TimeZone = zone
	}
	readOptions(&f.Options, m, in)
}

func policyFields(f *jobs.Fields, m mask, in *carillonv1.Job) {
	defaults := job.Policies{}.WithDefaults()
	overlapField(f, m, in.GetOverlapPolicy())
	if p := in.GetCatchUpPolicy(); m.about("catch_up_policy", p != carillonv1.Job_CATCH_UP_POLICY_UNSPECIFIED) {
		f.CatchUp = &defaults.CatchUp
		if p != carillonv1.Job_CATCH_UP_POLICY_UNSPECIFIED {
			f.CatchUp = new(job.CatchUpPolicy(p.String()))
		}
	}
	if w := in.GetCatchUpWindow(); m.about("catch_up_window", w != nil) {
		f.CatchUpWindow = &defaults.CatchUpWindow
		if w != nil {
			f.CatchUpWindow = new(w.AsDuration())
		}
	}
	retryPolicyFields(f, m, in.GetRetryPolicy())
	readLimits(&f.Limits, m, in)
}

func overlapField(f *jobs.Fields, m mask, p carillonv1.Job_OverlapPolicy) {
	if !m.about("overlap_policy", p != carillonv1.Job_OVERLAP_POLICY_UNSPECIFIED) {
		return
	}
	f.Overlap = new(overlapOf(p))
	if *f.Overlap == "" {
		f.Overlap = new(job.Policies{}.WithDefaults().Overlap)
	}
}

// overlapOf is empty for no policy.
func overlapOf(p carillonv1.Job_OverlapPolicy) job.OverlapPolicy {
	if p == carillonv1.Job_OVERLAP_POLICY_UNSPECIFIED {
		return ""
	}
	return job.OverlapPolicy(p.String())
}

// retryPolicyFields reads a whole policy, or the parts of it that a mask names.
func retryPolicyFields(f *jobs.Fields, m mask, in *carillonv1.RetryPolicy) {
	whole := m.about(retryField, in != nil)
	if whole && in == nil {
		f.NoRetry = true
		return
	}
	p := retryOf(in)
	r := &jobs.RetryFields{}
	part := func(name string) bool { return whole || m[retryField+"."+name] }
	if part("retry_count") {
		r.Count = &p.Count
	}
	if part("min_backoff") {
		r.MinBackoff = &p.MinBackoff
	}
	if part("max_backoff") {
		r.MaxBackoff = &p.MaxBackoff
	}
	if part("max_doublings") {
		r.MaxDoublings = &p.MaxDoublings
	}
	if part("max_retry_duration") {
		r.MaxDuration = &p.MaxDuration
	}
	if *r != (jobs.RetryFields{}) {
		f.Retry = r
	}
}

// retryOf is a retry policy with its defaults.
func retryOf(in *carillonv1.RetryPolicy) job.RetryPolicy {
	p := jobs.DefaultRetry()
	p.Count = int(in.GetRetryCount())
	if d := in.GetMinBackoff(); d != nil {
		p.MinBackoff = d.AsDuration()
	}
	if d := in.GetMaxBackoff(); d != nil {
		p.MaxBackoff = d.AsDuration()
	}
	if in != nil && in.MaxDoublings != nil {
		p.MaxDoublings = int(in.GetMaxDoublings())
	}
	p.MaxDuration = in.GetMaxRetryDuration().AsDuration()
	return p
}

// document is stored JSON as a message.
func document(text []byte) (*structpb.Struct, error) {
	s := &structpb.Struct{}
	if err := s.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("read a stored workflow: %w", err)
	}
	return s, nil
}
