package cli

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// declarable is an object that files define: a job or a webhook.
type declarable interface {
	proto.Message
	GetId() string
	GetEtag() string
	GetLabels() map[string]string
}

// kind is what the commands for files know of one sort of object.
type kind struct {
	// name is what files write as kind.
	name string
	// key is the field by which an object without an id is found again.
	key string
	// kept is the path of the field that stays as it is unless a file names it.
	kept    string
	message func() declarable
	keyOf   func(declarable) string
	// managerOf and manage are of the field managedBy; nil for a kind without.
	managerOf func(declarable) string
	manage    func(declarable, string)
	// plainly takes out of an export what a file need not say.
	plainly func(declarable)
	// list answers the instance's objects, newest first.
	list   func(ctx context.Context, s *session, instance string) ([]declarable, error)
	create func(ctx context.Context, s *session, instance string, d declarable, validateOnly bool) (declarable, error)
	update func(ctx context.Context, s *session, d declarable, fields []string, validateOnly bool) (declarable, error)
	remove func(ctx context.Context, s *session, d declarable) error
}

// kinds are in the order in which they are applied; a document without a kind is
// of the first.
var kinds = []*kind{jobKind, webhookKind}

var jobKind = &kind{
	name: "job", key: "name", kept: "active",
	message:   func() declarable { return &carillonv1.Job{} },
	keyOf:     func(d declarable) string { return d.(*carillonv1.Job).GetName() },
	managerOf: func(d declarable) string { return d.(*carillonv1.Job).GetManagedBy() },
	manage:    func(d declarable, manager string) { d.(*carillonv1.Job).ManagedBy = manager },
	plainly: func(d declarable) {
		j := d.(*carillonv1.Job)
		j.ManagedBy = "" // apply's to say
		if j.GetActive() {
			j.Active = nil
		}
	},
	list: func(ctx context.Context, s *session, instance string) ([]declarable, error) {
		answer, err := s.listJobs(ctx, instance, 0, nil)
		return declarables(answer.GetJobs()), err
	},
	create: func(ctx context.Context, s *session, instance string, d declarable, validateOnly bool) (declarable, error) {
		return call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.CreateJob,
			&carillonv1.CreateJobRequest{InstanceId: instance, Job: d.(*carillonv1.Job), ValidateOnly: validateOnly})
	},
	update: func(ctx context.Context, s *session, d declarable, fields []string, validateOnly bool) (declarable, error) {
		return call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.UpdateJob,
			&carillonv1.UpdateJobRequest{Job: d.(*carillonv1.Job), UpdateMask: &fieldmaskpb.FieldMask{Paths: fields}, ValidateOnly: validateOnly})
	},
	remove: func(ctx context.Context, s *session, d declarable) error {
		_, err := call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.DeleteJob,
			&carillonv1.DeleteJobRequest{JobId: d.GetId(), Etag: d.GetEtag()})
		return err
	},
}

// webhookKind are receivers of notices. Their secrets are the service's to make,
// and no part of a file.
var webhookKind = &kind{
	name: "webhook", key: "url", kept: "enabled",
	message: func() declarable { return &carillonv1.Webhook{} },
	keyOf:   func(d declarable) string { return d.(*carillonv1.Webhook).GetUrl() },
	plainly: func(d declarable) {
		if w := d.(*carillonv1.Webhook); w.GetEnabled() {
			w.Enabled = nil
		}
	},
	list: func(ctx context.Context, s *session, instance string) ([]declarable, error) {
		answer, err := s.listWebhooks(ctx, instance, 0)
		return declarables(answer.GetWebhooks()), err
	},
	create: func(ctx context.Context, s *session, instance string, d declarable, validateOnly bool) (declarable, error) {
		return call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.CreateWebhook,
			&carillonv1.CreateWebhookRequest{InstanceId: instance, Webhook: d.(*carillonv1.Webhook), ValidateOnly: validateOnly})
	},
	update: func(ctx context.Context, s *session, d declarable, fields []string, validateOnly bool) (declarable, error) {
		return call(ctx, s, carillonv1.NewNoticeServiceClient, carillonv1.NoticeServiceClient.UpdateWebhook,
			&carillonv1.UpdateWebhookRequest{Webhook: d.(*carillonv1.Webhook), UpdateMask: &fieldmaskpb.FieldMask{Paths: fields}, ValidateOnly: validateOnly})
	},
}

func declarables[D declarable](list []D) []declarable {
	all := make([]declarable, len(list))
	for i, one := range list {
		all[i] = one
	}
	return all
}
