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
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Manager is what jobs that are applied carry as managedBy unless told
// otherwise.
const Manager = "carillon apply"

// declared are the flags of diff and apply.
type declared struct {
	file, prune, manager string
}

func (d *declared) addFlags(cmd *cobra.Command) {
	fileFlag(cmd, &d.file, "`folder` or file with jobs and webhooks; - for standard input")
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
		Use: "apply -f DIR", Short: "make the instance's jobs and webhooks as files say", Args: cobra.NoArgs,
		Long: `Make the instance's jobs and webhooks as the files say: each job by its name,
each webhook by its URL, or either by its id. What a file leaves out gets its
default, but active and enabled, which stay. A job that is made or changed gets a
managedBy, and --prune deletes nothing without it. The service checks the whole
plan before anything changes; the plan is shown, and done after a yes. What
somebody else changes in between is left as it is, and told.

Credentials and the secrets of webhooks are no part of it: a workflow names a
resource's remotes by their keys, and carillon config stores those.`,
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
	labels, err := selector("prune", d.prune)
	if err != nil {
		return nil, err
	}
	documents, err := readDocuments(cmd.InOrStdin(), d.file)
	if err != nil {
		return nil, err
	}
	manifests := map[*kind][]manifest{}
	for _, document := range documents {
		m, err := document.manifest()
		if err != nil {
			return nil, err
		}
		manifests[m.kind] = append(manifests[m.kind], m)
	}
	var steps []step
	var refused []error
	for _, k := range kinds {
		some, err := s.planKind(ctx, instance, k, manifests[k], d, labels)
		steps, refused = append(steps, some...), append(refused, err)
	}
	return steps, errors.Join(refused...)
}

// planKind plans the objects of one kind. Every refusal is told, not only the
// first.
func (s *session) planKind(ctx context.Context, instance string, k *kind, manifests []manifest, d *declared, prune map[string]string) ([]step, error) {
	live, err := k.list(ctx, s, instance)
	if err != nil {
		return nil, err
	}
	found, err := match(k, manifests, live)
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
	if d.prune != "" {
		for _, one := range unclaimed(k, live, found, prune, d.manager) {
			steps = append(steps, step{action: remove, kind: k, object: one})
		}
	}
	return steps, errors.Join(refused...)
}

func (s *session) planOne(ctx context.Context, instance string, m manifest, found declarable, manager string) (step, error) {
	object, fields := wanted(m, manager)
	if found == nil {
		_, err := m.kind.create(ctx, s, instance, object, true)
		return step{action: create, kind: m.kind, source: m.source, object: object}, err
	}
	if m.kind.managerOf != nil {
		if other := m.kind.managerOf(found); other != "" && other != manager {
			return step{}, &Exit{ExitConflict, fmt.Errorf("%s is managed by %q, not by %q: change it there, or give --manager", found.GetId(), plain(other), manager)}
		}
	}
	identify(object, found)
	after, err := m.kind.update(ctx, s, object, fields, true)
	if err != nil {
		return step{}, err
	}
	changes, err := difference(found, after)
	// To become managed is no reason to touch a job that is as it should be.
	if len(changes) == 0 || len(changes) == 1 && changes[0].path == "managedBy" {
		return step{action: keep, kind: m.kind, object: object}, err
	}
	return step{update, m.kind, m.source, object, fields, changes}, err
}

// identify says of an object which one it is, and which version of it was read.
func identify(object, found declarable) {
	message := object.ProtoReflect()
	for name, value := range map[protoreflect.Name]string{"id": found.GetId(), "etag": found.GetEtag()} {
		message.Set(message.Descriptor().Fields().ByName(name), protoreflect.ValueOfString(value))
	}
}

// do carries a plan out. What fails does not stop the rest.
func (s *session) do(ctx context.Context, cmd *cobra.Command, steps []step) error {
	instance, err := s.needInstance()
	if err != nil {
		return err
	}
	var failed []error
	for _, one := range steps {
		id := one.object.GetId()
		switch one.action {
		case create:
			var made declarable
			if made, err = one.kind.create(ctx, s, instance, one.object, false); err == nil {
				id = made.GetId()
			}
		case update:
			_, err = one.kind.update(ctx, s, one.object, one.fields, false)
		case remove:
			err = one.kind.remove(ctx, s, one.object)
		case keep:
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", one.action, one.what(), late(explain(err))))
			continue
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%sd %s, %s\n", one.action, one.what(), id)
		if one.action == create && one.kind == webhookKind {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "  its secret is not printed here: carillon webhook rotate %s answers one\n", id)
		}
	}
	return errors.Join(failed...)
}

// late adds what to do when somebody else was faster.
func late(err error) error {
	var exit *Exit
	if errors.As(err, &exit) && exit.Code == ExitConflict {
		return &Exit{exit.Code, fmt.Errorf("%w\n  it is not as it was planned for: run the command again to see what is different now", exit.Err)}
	}
	return err
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
