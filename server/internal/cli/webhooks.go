package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func webhookCommand(s *session) *cobra.Command {
	return parent("webhook", "receivers of notices", webhookList(s), webhookGet(s), webhookCreate(s), webhookUpdate(s), webhookDelete(s), webhookRotate(s), webhookTest(s))
}

func webhookTable(list ...*carillonv1.Webhook) func() *table {
	return func() *table {
		t := &table{head: []string{"ID", "URL", "EVENTS", "ABOUT", "ENABLED"}}
		for _, w := range list {
			var events []string
			for _, e := range w.GetEvents() {
				events = append(events, e.String())
			}
			t.add(w.GetId(), w.GetUrl(), strings.Join(events, ","), aboutText(w), enabledText(w))
		}
		return t
	}
}

// aboutText is which jobs a webhook hears of.
func aboutText(w *carillonv1.Webhook) string {
	parts := slices.Clone(w.GetJobIds())
	if labels := labelText(w.GetLabels()); labels != "" {
		parts = append(parts, labels)
	}
	if len(parts) == 0 {
		return "every job"
	}
	return strings.Join(parts, ",")
}

func enabledText(w *carillonv1.Webhook) string {
	text := strconv.FormatBool(w.GetEnabled())
	if reason := w.GetDisabledReason(); reason != "" {
		text += " (" + reason + ")"
	}
	return text
}

func webhookDetails(w *carillonv1.Webhook) func() *table {
	return func() *table {
		t := &table{}
		t.add("id", w.GetId())
		t.add("url", w.GetUrl())
		t.addGiven("description", w.GetDescription())
		for i, e := range w.GetEvents() {
			head := ""
			if i == 0 {
				head = "events"
			}
			text := e.String()
			switch {
			case e == carillonv1.Webhook_NTH_FAILURE:
				text += fmt.Sprintf(", %d in a row", w.GetFailuresInARow())
			case e == carillonv1.Webhook_NOT_FRESH && w.GetFreshness() != nil:
				text += " for " + rough(w.GetFreshness().AsDuration())
			}
			t.rows = append(t.rows, []string{head + " ", text})
		}
		t.add("about", aboutText(w))
		t.add("enabled", enabledText(w))
		if until := w.GetPreviousSecretUntil(); until != nil {
			t.add("old secret", "signs as well until "+at(until))
		}
		return t
	}
}

func webhookList(s *session) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "webhooks of the instance, newest first", Args: cobra.NoArgs,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			instance, err := s.needInstance()
			if err != nil {
				return err
			}
			all, err := s.listWebhooks(ctx, instance, limit)
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), all, webhookTable(all.GetWebhooks()...))
		}),
	}
	limitFlag(cmd, &limit)
	return cmd
}

// listWebhooks reads webhooks; with limit 0 all of them.
func (s *session) listWebhooks(ctx context.Context, instance string, limit int) (*carillonv1.ListWebhooksResponse, error) {
	all := &carillonv1.ListWebhooksResponse{}
	err := pages(limit, func(size int32, token string) (int, string, error) {
		answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.ListWebhooks,
			&carillonv1.ListWebhooksRequest{InstanceId: instance, PageSize: size, PageToken: token})
		all.Webhooks = append(all.Webhooks, answer.GetWebhooks()...)
		return len(answer.GetWebhooks()), answer.GetNextPageToken(), err
	})
	return all, err
}

func webhookGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "one webhook", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.GetWebhook, &carillonv1.GetWebhookRequest{WebhookId: args[0]})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, webhookDetails(answer))
		}),
	}
}

// webhookFlags are what a command says of a webhook.
type webhookFlags struct {
	url, description, selector string
	jobs, events               []string
	failures                   int32
	freshness                  time.Duration
	enabled                    bool
}

// webhookFields are the fields that flags stand for.
var webhookFields = map[string]string{
	"url": "url", "description": "description", "job": "job_ids", "selector": "labels", "event": "events",
	"failures-in-a-row": "failures_in_a_row", "freshness": "freshness", "enabled": "enabled",
}

func (f *webhookFlags) add(s *session, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "where notices are sent")
	flags.StringVar(&f.description, "description", "", "for people")
	flags.StringSliceVar(&f.jobs, "job", nil, "only this job; several times for several")
	flags.StringVarP(&f.selector, "selector", "l", "", "only jobs with these labels: team=survey,env=prod")
	flags.StringSliceVar(&f.events, "event", nil, "what it hears of: FIRST_FAILURE, NTH_FAILURE, RECOVERED, PAUSED_BY_SYSTEM, APPROVAL_NEEDED, REAUTH_REQUIRED, NOT_FRESH, FRESH")
	flags.Int32Var(&f.failures, "failures-in-a-row", 0, "the number of NTH_FAILURE")
	flags.DurationVar(&f.freshness, "freshness", 0, "for how long a job may have no success (default by its schedule)")
	flags.BoolVar(&f.enabled, "enabled", true, "whether notices are sent")
	_ = cmd.RegisterFlagCompletionFunc("job", s.complete(jobIDs))
	completeValues(cmd, "event", carillonv1.Webhook_Event_name)
}

// webhook is what the flags say, and the fields that were given.
func (f *webhookFlags) webhook(cmd *cobra.Command) (w *carillonv1.Webhook, given []string, err error) {
	for name, field := range webhookFields {
		if cmd.Flags().Changed(name) {
			given = append(given, field)
		}
	}
	w = &carillonv1.Webhook{Url: f.url, Description: f.description, JobIds: f.jobs, FailuresInARow: f.failures, Enabled: &f.enabled}
	if f.freshness != 0 {
		w.Freshness = durationpb.New(f.freshness)
	}
	if f.selector != "" {
		if w.Labels, err = selector("selector", f.selector); err != nil {
			return nil, nil, err
		}
	}
	for _, text := range f.events {
		// An unknown one is the service's to refuse, at its place.
		w.Events = append(w.Events, carillonv1.Webhook_Event(carillonv1.Webhook_Event_value[strings.ToUpper(text)]))
	}
	return w, given, nil
}

func webhookCreate(s *session) *cobra.Command {
	f := &webhookFlags{}
	request := &carillonv1.CreateWebhookRequest{}
	cmd := &cobra.Command{
		Use: "create", Short: "make a webhook and print its secret, this once", Args: cobra.NoArgs,
		Example: `  carillon webhook create --url https://hooks.example/carillon --event FIRST_FAILURE,RECOVERED
  carillon webhook create --url https://hooks.example/carillon --event NOT_FRESH --freshness 26h -l team=survey`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) (err error) {
			if request.InstanceId, err = s.needInstance(); err != nil {
				return err
			}
			if request.Webhook, _, err = f.webhook(cmd); err != nil {
				return err
			}
			answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.CreateWebhook, request)
			if err != nil {
				return err
			}
			return s.withSecret(cmd, answer, answer.GetSecret(), webhookTable(answer))
		}),
	}
	f.add(s, cmd)
	cmd.Flags().StringVar(&request.RequestId, "request-id", "", "makes a repeat answer the first webhook, without its secret")
	validateFlag(cmd, &request.ValidateOnly)
	return cmd
}

func webhookUpdate(s *session) *cobra.Command {
	f := &webhookFlags{}
	request := &carillonv1.UpdateWebhookRequest{}
	var etag string
	cmd := &cobra.Command{
		Use: "update ID", Short: "change what the flags say", Args: cobra.ExactArgs(1),
		Example: `  carillon webhook update webhook_4 --enabled=false`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) (err error) {
			var given []string
			if request.Webhook, given, err = f.webhook(cmd); err != nil {
				return err
			}
			if len(given) == 0 {
				return usage("nothing to change: give a flag")
			}
			request.Webhook.Id, request.Webhook.Etag = args[0], etag
			request.UpdateMask = &fieldmaskpb.FieldMask{Paths: given}
			answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.UpdateWebhook, request)
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, webhookTable(answer))
		}),
	}
	f.add(s, cmd)
	cmd.Flags().StringVar(&etag, "etag", "", "only if it is still this one")
	validateFlag(cmd, &request.ValidateOnly)
	return cmd
}

func webhookDelete(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "delete a webhook with its deliveries", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			_, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.DeleteWebhook, &carillonv1.DeleteWebhookRequest{WebhookId: args[0]})
			if err == nil {
				say(cmd, "deleted %s", args[0])
			}
			return err
		}),
	}
}

func webhookRotate(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "rotate ID", Short: "give it a new secret; the old one signs as well for 24 hours", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.RotateWebhookSecret, &carillonv1.RotateWebhookSecretRequest{WebhookId: args[0]})
			if err != nil {
				return err
			}
			return s.withSecret(cmd, answer, answer.GetSecret(), webhookTable(answer))
		}),
	}
}

func webhookTest(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Short: "send a PING", Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			answer, err := call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.TestWebhook, &carillonv1.TestWebhookRequest{WebhookId: args[0]})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), answer, deliveryTable(answer))
		}),
	}
}
