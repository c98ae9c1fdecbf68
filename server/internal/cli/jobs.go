package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func jobCommand(s *session) *cobra.Command {
	return parent("job", "workflows and when they run",
		jobList(s), jobGet(s), jobCreate(s), jobUpdate(s), jobPause(s), jobResume(s), jobRun(s), jobPlan(s), jobDelete(s),
		jobOccurrences(s), jobExplain(s), jobSkip(s), jobMove(s), jobRestore(s), jobBackfill(s))
}

func jobTable(now time.Time, jobs ...*carillonv1.Job) func() *table {
	return func() *table {
		t := &table{head: []string{"ID", "NAME", "STATE", "SCHEDULE", "NEXT RUN", "LAST RUN"}}
		for _, j := range jobs {
			t.add(j.GetId(), j.GetName(), j.GetState().String(), schedule(j), soon(j.GetNextRun(), now), at(j.GetLastRun()))
		}
		return t
	}
}

func jobList(s *session) *cobra.Command {
	var limit int
	var labels string
	var watch bool
	cmd := &cobra.Command{
		Use: "list", Short: "jobs of the instance, newest first", Args: cobra.NoArgs,
		Example: `  carillon job list --label team=survey
  carillon job list --watch`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			instance, err := s.needInstance()
			if err != nil {
				return err
			}
			wanted, err := selector("label", labels)
			if err != nil {
				return err
			}
			show := func() error {
				found, err := s.listJobs(ctx, instance, limit, wanted)
				if err != nil {
					return err
				}
				return s.print(cmd.OutOrStdout(), found, jobTable(time.Now(), found.GetJobs()...))
			}
			if watch {
				return s.onChange(ctx, cmd, instance, show)
			}
			return show()
		}),
	}
	limitFlag(cmd, &limit)
	cmd.Flags().StringVarP(&labels, "label", "l", "", "only jobs with these labels: `key=value`, comma separated")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "list again whenever an execution changes, until interrupted")
	return cmd
}

// listJobs reads jobs that have the wanted labels; with limit 0 all of them.
func (s *session) listJobs(ctx context.Context, instance string, limit int, wanted map[string]string) (*carillonv1.ListJobsResponse, error) {
	found := &carillonv1.ListJobsResponse{}
	read := limit
	if len(wanted) > 0 {
		read = 0 // the limit counts what is shown
	}
	err := pages(read, func(size int32, token string) (int, string, error) {
		answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.ListJobs,
			&carillonv1.ListJobsRequest{InstanceId: instance, PageSize: size, PageToken: token})
		next := answer.GetNextPageToken()
		for _, j := range answer.GetJobs() {
			if limit > 0 && len(found.Jobs) == limit {
				next = ""
				break
			}
			if matches(j.GetLabels(), wanted) {
				found.Jobs = append(found.Jobs, j)
			}
		}
		return len(answer.GetJobs()), next, err
	})
	return found, err
}

func (s *session) job(ctx context.Context, id string) (*carillonv1.Job, error) {
	return call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.GetJob, &carillonv1.GetJobRequest{JobId: id})
}

func jobGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "one job, whole", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			j, err := s.job(ctx, args[0])
			if err != nil {
				return err
			}
			return s.printJob(cmd, j)
		}),
	}
}

// printJob prints a job whole, and for people its warnings in words.
func (s *session) printJob(cmd *cobra.Command, j *carillonv1.Job) error {
	if s.output == "table" {
		for _, w := range j.GetWarnings() {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", plain(w.GetMessage()))
		}
	}
	return s.print(cmd.OutOrStdout(), j, jobDetails(j))
}

func jobDetails(j *carillonv1.Job) func() *table {
	return func() *table {
		t := &table{}
		t.add("id", j.GetId())
		t.add("name", j.GetName())
		t.addGiven("description", j.GetDescription())
		t.addGiven("labels", labelText(j.GetLabels()))
		t.addGiven("managed by", j.GetManagedBy())
		t.add("state", j.GetState().String())
		if p := j.GetPause(); p != nil {
			t.add("paused", fmt.Sprintf("since %s by %s: %s", at(p.GetSince()), p.GetActor(), p.GetReason()))
			t.add("resumes", at(p.GetUntil()))
		}
		t.add("schedule", schedule(j))
		t.add("next run", soon(j.GetNextRun(), time.Now()))
		t.add("last run", at(j.GetLastRun()))
		t.add("overlap", j.GetOverlapPolicy().String())
		t.add("catch-up", fmt.Sprintf("%s within %s", j.GetCatchUpPolicy(), rough(j.GetCatchUpWindow().AsDuration())))
		if r := j.GetRetryPolicy(); r.GetRetryCount() > 0 {
			t.add("retries", fmt.Sprintf("%d, the first after %s", r.GetRetryCount(), rough(r.GetMinBackoff().AsDuration())))
		}
		if limit := j.GetExecutionTimeLimit(); limit != nil {
			t.add("time limit", rough(limit.AsDuration()))
		}
		if n := j.GetPauseAfterFailures(); n > 0 {
			t.add("pauses", fmt.Sprintf("after %d failures in a row", n))
		}
		for i, task := range j.GetWorkflow().GetFields()["tasks"].GetListValue().GetValues() {
			head := ""
			if i == 0 {
				head = "tasks"
			}
			fields := task.GetStructValue().GetFields()
			t.rows = append(t.rows, []string{head + " ", fields["name"].GetStringValue() + ": " + fields["type"].GetStringValue()})
		}
		t.add("updated", at(j.GetUpdatedAt()))
		return t
	}
}

func jobCreate(s *session) *cobra.Command {
	d := &definition{}
	var requestID string
	var validateOnly bool
	cmd := &cobra.Command{
		Use: "create", Short: "make a job, from flags or from a file", Args: cobra.NoArgs,
		Example: `  carillon job create --name "Nightly copy" --cron "30 2 * * *" --zone Europe/Berlin --workflow copy.yaml
  carillon job create -f job.yaml --validate-only`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			instance, err := s.needInstance()
			if err != nil {
				return err
			}
			j, _, err := d.read(cmd)
			if err != nil {
				return err
			}
			if err := whole(j); err != nil {
				return err
			}
			made, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.CreateJob,
				&carillonv1.CreateJobRequest{InstanceId: instance, Job: j, RequestId: requestID, ValidateOnly: validateOnly})
			if err != nil {
				return err
			}
			return s.printJob(cmd, made)
		}),
	}
	d.addFlags(cmd)
	cmd.Flags().StringVar(&requestID, "request-id", "", "makes a repeat answer the first result")
	validateFlag(cmd, &validateOnly)
	return cmd
}

// whole refuses a job that lacks what every job has, in the words of flags.
func whole(j *carillonv1.Job) error {
	var lacks []string
	if j.GetFrequencyType() == 0 {
		lacks = append(lacks, "a schedule (--cron, --interval or --manual)")
	}
	if j.GetWorkflow() == nil {
		lacks = append(lacks, "a workflow (--workflow FILE)")
	}
	if lacks == nil {
		return nil
	}
	return usage("a job needs %s, or a file that says so by --file", strings.Join(lacks, " and "))
}

func validateFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "validate-only", false, "check everything and change nothing")
}

func jobUpdate(s *session) *cobra.Command {
	d := &definition{}
	var etag string
	var validateOnly bool
	cmd := &cobra.Command{
		Use: "update ID", Short: "change what is given, from flags or from a file", Args: cobra.ExactArgs(1),
		Example: `  carillon job update job_19 --cron "0 3 * * *"
  carillon job update job_19 --workflow copy.yaml --etag "$ETAG"`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			j, fields, err := d.read(cmd)
			if err != nil {
				return err
			}
			if len(fields) == 0 {
				return usage("nothing to change: give a flag or a file")
			}
			j.Id, j.Etag = args[0], etag
			changed, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.UpdateJob,
				&carillonv1.UpdateJobRequest{Job: j, UpdateMask: &fieldmaskpb.FieldMask{Paths: fields}, ValidateOnly: validateOnly})
			if err != nil {
				return err
			}
			return s.printJob(cmd, changed)
		}),
	}
	d.addFlags(cmd)
	cmd.Flags().StringVar(&etag, "etag", "", "refuse when the job has changed since this etag was read")
	validateFlag(cmd, &validateOnly)
	return cmd
}

func jobPause(s *session) *cobra.Command {
	var reason, until string
	cmd := &cobra.Command{
		Use: "pause ID", Short: "do not run by schedule until resumed", Args: cobra.ExactArgs(1),
		Example: `  carillon job pause job_19 --reason "migration" --until 8h`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			end, err := instant("until", until)
			if err != nil {
				return err
			}
			return s.change(cmd, func(c carillonv1.JobServiceClient) (*carillonv1.Job, error) {
				return c.PauseJob(ctx, &carillonv1.PauseJobRequest{JobId: args[0], Reason: reason, Until: end})
			})
		}),
	}
	pauseFlags(cmd, &reason, &until)
	return cmd
}

// change makes a call that answers the job as it is now.
func (s *session) change(cmd *cobra.Command, call func(carillonv1.JobServiceClient) (*carillonv1.Job, error)) error {
	conn, err := s.dial(cmd.Context())
	if err != nil {
		return err
	}
	j, err := call(carillonv1.NewJobServiceClient(conn))
	if err != nil {
		return err
	}
	return s.print(cmd.OutOrStdout(), j, jobTable(time.Now(), j))
}

func jobResume(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "resume ID", Short: "run by schedule again", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return s.change(cmd, func(c carillonv1.JobServiceClient) (*carillonv1.Job, error) {
				return c.ResumeJob(ctx, &carillonv1.ResumeJobRequest{JobId: args[0]})
			})
		}),
	}
}

func jobRun(s *session) *cobra.Command {
	request := &carillonv1.RunJobRequest{}
	var policy string
	var wait, follow bool
	cmd := &cobra.Command{
		Use: "run ID", Short: "run it now", Args: cobra.ExactArgs(1),
		Long: `Run a job now, whether or not it is paused. With --wait or --follow the command
ends when the execution has, with exit code 0 only if it succeeded.`,
		Example: `  carillon job run job_19 --follow
  carillon job run job_19 --wait -o json | jq -r .state`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			var err error
			if request.OverlapPolicy, err = overlapPolicy(policy); err != nil {
				return err
			}
			request.JobId = args[0]
			e, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.RunJob, proto.CloneOf(request))
			if err != nil {
				return err
			}
			if wait || follow {
				return s.toTheEnd(ctx, cmd, e, follow)
			}
			return s.print(cmd.OutOrStdout(), e, executionTable(e))
		}),
	}
	cmd.Flags().StringVar(&request.RequestId, "request-id", "", "makes a repeat answer the first execution")
	cmd.Flags().StringVar(&policy, "overlap-policy", "", "`policy` for this execution instead of the job's")
	cmd.Flags().BoolVar(&wait, "wait", false, "until it has ended")
	cmd.Flags().BoolVarP(&follow, "follow", "F", false, "show its log until it has ended")
	return cmd
}

func jobDelete(s *session) *cobra.Command {
	request := &carillonv1.DeleteJobRequest{}
	cmd := &cobra.Command{
		Use: "delete ID", Short: "delete it; its history stays until retention", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			request.JobId = args[0]
			_, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.DeleteJob, request)
			if err == nil {
				say(cmd, "deleted %s", args[0])
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&request.Etag, "etag", "", "refuse when the job has changed since this etag was read")
	return cmd
}
