package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Manager is what jobs that are applied carry as managedBy unless told
// otherwise.
const Manager = "carillon apply"

// declared are the flags of diff and apply.
type declared struct {
	file, prune, manager string
}

func (d *declared) addFlags(cmd *cobra.Command) {
	fileFlag(cmd, &d.file, "`folder` or file with jobs; - for standard input")
	cmd.Flags().StringVar(&d.prune, "prune", "", "delete jobs with these labels (`key=value`, comma separated) and this manager that no file defines")
	cmd.Flags().StringVar(&d.manager, "manager", Manager, "who manages these jobs: their managedBy")
}

func diffCommand(s *session) *cobra.Command {
	d := &declared{}
	cmd := &cobra.Command{
		Use: "diff -f DIR", Short: "what apply would change", Args: cobra.NoArgs,
		Long: `Show what apply would change, and change nothing. The exit code is 0 when there
is nothing to change and 1 when there is.`,
		Example: `  carillon diff -f jobs/
  carillon export | carillon diff -f -`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			steps, err := s.plan(ctx, cmd, d)
			if err != nil {
				return err
			}
			if err := show(cmd.OutOrStdout(), steps); err != nil {
				return err
			}
			if slices.ContainsFunc(steps, func(s step) bool { return s.action != keep }) {
				return negative("the instance differs from %s", d.file)
			}
			return nil
		}),
	}
	d.addFlags(cmd)
	return cmd
}

func applyCommand(s *session) *cobra.Command {
	d := &declared{}
	var yes bool
	cmd := &cobra.Command{
		Use: "apply -f DIR", Short: "make the instance's jobs as files say", Args: cobra.NoArgs,
		Long: `Make the instance's jobs as the files say: each job by its name, or by its id.
What a file leaves out gets its default, but active, which stays. What is made
or changed gets a managedBy, and --prune deletes nothing without it. The service
checks the whole plan before anything changes; the plan is shown, and done after
a yes. A job that somebody else changes in between is left as it is, and told.

Credentials are no part of it: a workflow names a resource's remotes by their
keys, and carillon config stores those.`,
		Example: `  carillon apply -f jobs/
  carillon apply -f jobs/ --prune team=survey --yes`,
		RunE: s.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			steps, err := s.plan(ctx, cmd, d)
			if err != nil {
				return err
			}
			if err := show(cmd.OutOrStdout(), steps); err != nil {
				return err
			}
			steps = slices.DeleteFunc(steps, func(s step) bool { return s.action == keep })
			if len(steps) == 0 {
				return nil
			}
			if !yes {
				if err := confirm(cmd); err != nil {
					return err
				}
			}
			return s.do(ctx, cmd, steps)
		}),
	}
	d.addFlags(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// plan reads the files and the instance, and has the service check and complete
// every definition, so that what is compared has the service's own defaults.
func (s *session) plan(ctx context.Context, cmd *cobra.Command, d *declared) ([]step, error) {
	instance, err := s.needInstance()
	if err != nil {
		return nil, err
	}
	labels, err := selector(d.prune)
	if err != nil {
		return nil, err
	}
	documents, err := readDocuments(cmd.InOrStdin(), d.file)
	if err != nil {
		return nil, err
	}
	manifests := make([]manifest, len(documents))
	for i, document := range documents {
		if manifests[i], err = document.job(); err != nil {
			return nil, err
		}
	}
	live, err := s.listJobs(ctx, instance, 0, nil)
	if err != nil {
		return nil, err
	}
	found, err := match(manifests, live.GetJobs())
	if err != nil {
		return nil, err
	}
	var steps []step
	var refused []error
	for i, m := range manifests {
		one, err := s.planOne(ctx, instance, m, found[i], d.manager)
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", m.source, explain(err)))
		}
		steps = append(steps, one)
	}
	if err := errors.Join(refused...); err != nil {
		return nil, err
	}
	if d.prune != "" {
		for _, j := range unclaimed(live.GetJobs(), found, labels, d.manager) {
			steps = append(steps, step{action: remove, job: j})
		}
	}
	return steps, nil
}

func (s *session) planOne(ctx context.Context, instance string, m manifest, found *carillonv1.Job, manager string) (step, error) {
	j, fields := wanted(m, manager)
	if found == nil {
		_, err := s.createJob(ctx, instance, j, true)
		return step{action: create, source: m.source, job: j}, err
	}
	if other := found.GetManagedBy(); other != "" && other != manager {
		return step{}, &Exit{ExitConflict, fmt.Errorf("%s is managed by %q, not by %q: change it there, or give --manager", found.GetId(), plain(other), manager)}
	}
	j.Id, j.Etag = found.GetId(), found.GetEtag()
	after, err := s.updateJob(ctx, j, fields, true)
	if err != nil {
		return step{}, err
	}
	changes, err := difference(found, after)
	// To become managed is no reason to touch a job that is as it should be.
	if len(changes) == 0 || len(changes) == 1 && changes[0].path == "managedBy" {
		return step{action: keep, job: j}, err
	}
	return step{update, m.source, j, fields, changes}, err
}

func (s *session) createJob(ctx context.Context, instance string, j *carillonv1.Job, validateOnly bool) (*carillonv1.Job, error) {
	return call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.CreateJob,
		&carillonv1.CreateJobRequest{InstanceId: instance, Job: j, ValidateOnly: validateOnly})
}

func (s *session) updateJob(ctx context.Context, j *carillonv1.Job, fields []string, validateOnly bool) (*carillonv1.Job, error) {
	return call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.UpdateJob,
		&carillonv1.UpdateJobRequest{Job: j, UpdateMask: &fieldmaskpb.FieldMask{Paths: fields}, ValidateOnly: validateOnly})
}

// do carries a plan out. What fails does not stop the rest.
func (s *session) do(ctx context.Context, cmd *cobra.Command, steps []step) error {
	instance, err := s.needInstance()
	if err != nil {
		return err
	}
	var failed []error
	for _, one := range steps {
		id := one.job.GetId()
		switch one.action {
		case create:
			var made *carillonv1.Job
			made, err = s.createJob(ctx, instance, one.job, false)
			id = made.GetId()
		case update:
			_, err = s.updateJob(ctx, one.job, one.fields, false)
		case remove:
			_, err = call(ctx, s, carillonv1.NewJobServiceClient, carillonv1.JobServiceClient.DeleteJob,
				&carillonv1.DeleteJobRequest{JobId: id, Etag: one.job.GetEtag()})
		case keep:
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s %q: %w", one.action, one.job.GetName(), explain(err)))
			continue
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%sd %q, %s\n", one.action, plain(one.job.GetName()), id)
	}
	return errors.Join(failed...)
}

// confirm asks the person at the terminal.
func confirm(cmd *cobra.Command) error {
	file, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return usage("nobody to ask: give --yes to do it without a question")
	}
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), "Do it? [y/N] ")
	answer, _ := bufio.NewReader(file).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return negative("nothing was changed")
	}
	return nil
}
