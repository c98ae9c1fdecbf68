package configs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pointscene/carillon/internal/places"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

const (
	// maxTests and maxTestsOfOne are how many calls of TestConfig one process
	// serves at a time, of all instances and of one.
	maxTests, maxTestsOfOne = 16, 3
	// maxTested is how many remotes one call tries. The proto says so, too.
	maxTested = 10
	// testAgain is when somebody who found no place may come again.
	testAgain = 5 * time.Second
	// reasonBadRemote is that of text that is no name:/path.
	reasonBadRemote = "BAD_REMOTE"
)

// Try tells what a remote can do at a folder. It returns soon after ctx ends,
// and after a limit of its own. The error says nothing of the remote.
type Try func(ctx context.Context, config task.RemoteConfig, folder string, write bool) (job.RemoteTest, error)

// TestWith lets the service test remotes. It is called before the first test.
func (s *Service) TestWith(try Try) {
	s.try, s.places = try, places.New[int64](maxTests, maxTestsOfOne)
}

// TestRequest says what to try.
type TestRequest struct {
	// Config are remotes that are not stored, as for Add; each counts instead of
	// a stored one of its name.
	Config map[string]any
	// Remotes are names, or name:/path; without any all of Config are tried, or
	// all that are stored.
	Remotes []string
	// Write lets a file be written and deleted.
	Write bool
}

// tested is a remote to try: in the clear, or stored.
type tested struct {
	name, folder string
	given        *plain
}

// Test tells what remotes can do, those of the request or those that are stored.
// It stores nothing but a stored remote's token that had to be renewed: there
// the lock of all executions and replicas is respected, so that a token which
// is good for one use is not lost. What a request brings is not renewed where
// that would use it up.
func (s *Service) Test(ctx context.Context, resourceID int64, r TestRequest) ([]job.RemoteTest, error) {
	resource, err := s.resource(ctx, resourceID, auth.Write)
	if err != nil {
		return nil, err
	}
	tests, err := s.choose(ctx, resourceID, r)
	if err != nil {
		return nil, err
	}
	leave, ok := s.places.Take(resource.InstanceID)
	if !ok {
		return nil, &job.ExhaustedError{Reason: "TOO_MANY_TESTS", RetryAfter: testAgain,
			Message: "other configs are being tested; try again soon"}
	}
	defer leave()
	results, errs := make([]job.RemoteTest, len(tests)), make([]error, len(tests))
	var trying sync.WaitGroup
	for i, one := range tests {
		trying.Go(func() { results[i], errs[i] = s.test(ctx, resource, one, r.Write) })
	}
	trying.Wait()
	return results, errors.Join(errs...)
}

// choose says what to try, or refuses all that is wrong with the request.
func (s *Service) choose(ctx context.Context, resourceID int64, r TestRequest) ([]tested, error) {
	given, removed, err := s.read(r.Config)
	if err != nil {
		return nil, err
	}
	var bad job.InvalidError
	for _, name := range removed {
		bad.Add(job.JoinPath("config", task.Field(name)), task.ReasonWrongType, "must be an object with a type: there is nothing to test of null")
	}
	stored, err := s.versions(ctx, resourceID)
	if err != nil {
		return nil, err
	}
	names, path := r.Remotes, "remotes"
	if len(names) == 0 {
		if names = slices.Sorted(maps.Keys(given)); len(names) == 0 {
			names = slices.Sorted(maps.Keys(stored))
		} else {
			path = "config"
		}
	}
	if len(names) > maxTested {
		bad.Add(path, "TOO_MANY", "at most %d remotes at a time: name some in remotes", maxTested)
		return nil, bad.Err()
	}
	tests := make([]tested, 0, len(names))
	for i, text := range names {
		name, folder, _ := strings.Cut(text, ":")
		one := tested{name: name, folder: folder}
		if p, ok := given[name]; ok {
			one.given = &p
		} else if stored[name] == 0 {
			bad.Add(task.Index("remotes", i), reasonBadRemote, "must be a name or name:/path of a remote that is stored or in config")
		}
		if why := task.CheckRemotePath(folder); why != "" {
			bad.Add(task.Index("remotes", i), reasonBadRemote, "%s", why)
		}
		tests = append(tests, one)
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if len(tests) == 0 {
		return nil, &job.PreconditionError{Reason: ReasonRemoteNotConfigured,
			Message: fmt.Sprintf("nothing is stored for resource %s: give config", job.KindResource.Format(resourceID))}
	}
	return tests, nil
}

func (s *Service) test(ctx context.Context, resource job.Resource, one tested, write bool) (_ job.RemoteTest, err error) {
	defer func() { // it runs besides the call, whose guard against panics does not see it
		if p := recover(); p != nil {
			err = fmt.Errorf("test remote %q of resource %d: panic: %s\n%s", one.name, resource.ID, telemetry.PanicText(p), debug.Stack())
		}
	}()
	if one.given != nil {
		config := task.RemoteConfig{ResourceID: resource.ID, Name: one.name, Type: one.given.kind, Options: one.given.options}
		return s.try(ctx, config, one.folder, write)
	}
	// One answer to a test pauses no jobs: an execution will ask for itself.
	o := opener{service: s, instanceID: resource.InstanceID, tries: true}
	stored, options, err := s.open(ctx, resource.ID, one.name)
	if err == nil && stored.Refusal != nil {
		err = refused(stored)
	}
	if f, ok := errors.AsType[*job.Failure](err); ok {
		return untried(one, stored.Type, f), nil
	}
	if err == nil {
		err = s.store.AddAuditEvent(ctx, o.event(ctx, audit.OpenConfig, stored))
	}
	if err != nil {
		return job.RemoteTest{}, err
	}
	config := o.opened(stored, options)
	config.Save, config.Refused = nil, nil
	return s.try(ctx, config, one.folder, write)
}

// untried is the test of a remote that can't be used as it is stored.
func untried(one tested, kind string, why *job.Failure) job.RemoteTest {
	t := job.RemoteTest{Remote: one.name + ":" + one.folder, Type: kind, Results: []job.CheckResult{
		{Check: job.CheckConnect, Outcome: job.CheckFailed, Code: why.Code, Reason: why.Reason, Message: why.Message},
	}}
	for _, check := range []job.RemoteCheck{job.CheckList, job.CheckWrite, job.CheckQuota} {
		t.Results = append(t.Results, job.CheckResult{Check: check, Outcome: job.CheckSkipped, Reason: why.Reason, Message: "the stored credentials can't be used"})
	}
	return t
}
