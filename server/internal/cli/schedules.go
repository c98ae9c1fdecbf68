package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func scheduleCommand(s *session) *cobra.Command {
	return parent("schedule", "cron expressions and intervals, before a job uses them", schedulePreview(s))
}

func schedulePreview(s *session) *cobra.Command {
	var cron, zone, interval, after, policy string
	var count int32
	var assumed time.Duration
	cmd := &cobra.Command{
		Use: "preview", Short: "when a schedule would run, and what to know about it", Args: cobra.NoArgs,
		Example: `  carillon schedule preview --cron "30 2 * * *" --zone Europe/Berlin
  carillon schedule preview --interval 15m --assume 20m --overlap-policy SKIP`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			request := &carillonv1.PreviewScheduleRequest{Count: count}
			var err error
			if request.After, err = instant("after", after); err != nil {
				return err
			}
			if request.OverlapPolicy, err = overlapPolicy(policy); err != nil {
				return err
			}
			if assumed != 0 {
				request.AssumedDuration = durationpb.New(assumed)
			}
			if zone != "" {
				request.TimeZone = proto.String(zone)
			}
			if cron != "" {
				request.FrequencyType, request.CronExpression = carillonv1.Job_CRON_BASED, wrapperspb.String(cron)
			} else {
				minutes, err := wholeMinutes(interval)
				if err != nil {
					return err
				}
				request.FrequencyType, request.IntervalMinutes = carillonv1.Job_INTERVAL_BASED, wrapperspb.Int32(minutes)
			}
			answer, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.PreviewSchedule, request)
			if err != nil {
				return err
			}
			if s.output == "table" {
				for _, w := range answer.GetWarnings() {
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", plain(w.GetMessage()))
				}
			}
			return s.print(cmd.OutOrStdout(), answer, previewTable(answer, zone))
		}),
	}
	f := cmd.Flags()
	f.StringVar(&cron, "cron", "", "cron `expression` of five fields")
	f.StringVar(&zone, "zone", "", "IANA time `zone`")
	f.StringVar(&interval, "interval", "", "a `duration` of whole minutes, such as 15m")
	f.StringVar(&after, "after", "", "times after this `time`: RFC 3339, or a duration from now")
	f.Int32VarP(&count, "count", "n", 10, "how many, at most 100")
	f.DurationVar(&assumed, "assume", 0, "how long an execution is taken to last; shows what would overlap")
	f.StringVar(&policy, "overlap-policy", "", "with --assume: the job's policy")
	cmd.MarkFlagsMutuallyExclusive("cron", "interval")
	cmd.MarkFlagsOneRequired("cron", "interval")
	return cmd
}

// previewTable shows each time in UTC and in the schedule's zone.
func previewTable(p *carillonv1.PreviewScheduleResponse, zone string) func() *table {
	return func() *table {
		t := &table{head: []string{"UTC"}}
		location, err := time.LoadLocation(zone)
		local := zone != "" && err == nil
		if local {
			t.head = append(t.head, zone)
		}
		outcomes := p.GetOccurrences()
		if len(outcomes) > 0 {
			t.head = append(t.head, "OUTCOME", "STARTS", "REASON")
		}
		for i, when := range p.GetTimes() {
			row := []string{at(when)}
			if local {
				row = append(row, when.AsTime().In(location).Format("Mon 2006-01-02 15:04 -07:00"))
			}
			if i < len(outcomes) {
				row = append(row, outcomes[i].GetOutcome().String(), at(outcomes[i].GetStartsAt()), outcomes[i].GetReason())
			}
			t.add(row...)
		}
		return t
	}
}
