package rpc

import (
	"cmp"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
)

// readOptions reads what a message says of the options of a schedule.
func readOptions(o *jobs.OptionFields, m mask, in timing) {
	if p := in.GetDstGapPolicy(); m.about("dst_gap_policy", p != 0) {
		o.DSTGap = new(job.DSTGapPolicy(nameOf(p)))
	}
	if p := in.GetDstOverlapPolicy(); m.about("dst_overlap_policy", p != 0) {
		o.DSTOverlap = new(job.DSTOverlapPolicy(nameOf(p)))
	}
	if t := in.GetStartTime(); m.about("start_time", t != nil) {
		o.Start = new(given(t))
	}
	if t := in.GetEndTime(); m.about("end_time", t != nil) {
		o.End = new(given(t))
	}
	if d := in.GetJitter(); m.about("jitter", d != nil) {
		o.Jitter = new(d.AsDuration())
	}
	if dates := in.GetExcludedDates(); m.about("excluded_dates", len(dates) > 0) {
		o.ExcludedDates = &dates
	}
}

// nameOf is an enum value's name; empty for one that was not given.
func nameOf(e protoreflect.Enum) string {
	if e.Number() == 0 {
		return ""
	}
	return string(e.Descriptor().Values().ByNumber(e.Number()).Name())
}

// readLimits reads what a message says of limits and priority.
func readLimits(l *jobs.LimitFields, m mask, in *carillonv1.Job) {
	if m.about("max_executions", in.GetMaxExecutions() != 0) {
		l.MaxExecutions = new(int64(in.GetMaxExecutions()))
	}
	if d := in.GetExecutionTimeLimit(); m.about("execution_time_limit", d != nil) {
		l.TimeLimit = new(d.AsDuration())
	}
	if m.about("pause_after_failures", in.GetPauseAfterFailures() != 0) {
		l.PauseAfterFailures = new(int(in.GetPauseAfterFailures()))
	}
	if m.about("priority", in.GetPriority() != 0) {
		l.Priority = new(int(in.GetPriority()))
	}
}

// optionFields writes the options of a schedule. Only cron has policies for
// changes of the clock.
func optionFields(out *carillonv1.Job, s job.Schedule) {
	if s.Type == job.CronBased {
		out.DstGapPolicy = carillonv1.DaylightSaving_GapPolicy(carillonv1.DaylightSaving_GapPolicy_value[string(cmp.Or(s.DSTGap, job.GapShiftForward))])
		out.DstOverlapPolicy = carillonv1.DaylightSaving_OverlapPolicy(carillonv1.DaylightSaving_OverlapPolicy_value[string(cmp.Or(s.DSTOverlap, job.OverlapFirst))])
	}
	out.StartTime, out.EndTime = stamp(s.Start), stamp(s.End)
	out.Jitter = durationpb.New(s.Jitter)
	out.ExcludedDates = s.ExcludedDates
}

func limitFields(out *carillonv1.Job, p job.Policies) {
	out.MaxExecutions = int32(p.MaxExecutions)
	if p.TimeLimit > 0 {
		out.ExecutionTimeLimit = durationpb.New(p.TimeLimit)
	}
	out.PauseAfterFailures = int32(p.PauseAfterFailures)
	out.Priority = int32(p.Priority)
}
