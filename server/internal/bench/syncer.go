package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// syncLimit bounds a scenario of syncs.
const syncLimit = 30 * time.Minute

// syncer is the whole program with a job per mode that syncs the folder src to
// the folder dst, both below root.
type syncer struct {
	*process
	d     *database
	root  string
	token string
	jobs  map[string]string
	// aside counts the destinations that were put aside.
	aside int
}

// withSyncer starts the program for fn.
func (c Config) withSyncer(ctx context.Context, server string, fn func(context.Context, *syncer) error) error {
	ctx, cancel := context.WithTimeout(ctx, syncLimit)
	defer cancel()
	d, err := newDatabase(ctx, server, c.Folder)
	if err != nil {
		return err
	}
	return closing(ctx, d, errors.Join(d.durable(ctx), c.syncOn(ctx, d, fn)))
}

func (c Config) syncOn(ctx context.Context, d *database, fn func(context.Context, *syncer) error) (err error) {
	root, err := os.MkdirTemp(c.Folder, "carillon-bench-sync-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	s := &syncer{d: d, root: root, jobs: map[string]string{}}
	if s.process, err = c.startServer(ctx, d, root, "--local-remote-root", root); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.prepare(ctx, c); err != nil {
		return err
	}
	return fn(ctx, s)
}

// prepare makes what the jobs need, and the jobs.
func (s *syncer) prepare(ctx context.Context, c Config) (err error) {
	if s.token, err = s.process.token(ctx, c, s.d); err != nil {
		return fmt.Errorf("carillon token: %w", err)
	}
	type object = map[string]any
	var instance, resource struct{ ID string }
	err = s.call(ctx, "/v1/instances", object{"title": "bench"}, &instance)
	if err == nil {
		err = s.call(ctx, "/v1/instances/"+instance.ID+"/resources", object{"title": "bench"}, &resource)
	}
	if err == nil {
		local := object{"type": "local"}
		err = s.call(ctx, "/v1/resources/"+resource.ID+"/config", object{"config": object{"a": local, "b": local}}, nil)
	}
	for _, mode := range []string{"copy", "mirror", "bisync"} {
		if err != nil {
			break
		}
		var job struct{ ID string }
		err = s.call(ctx, "/v1/instances/"+instance.ID+"/jobs", object{"name": mode, "frequencyType": "MANUAL", "workflow": object{"tasks": []any{object{
			"name": "sync", "type": "sync.files", "args": object{"resourceId": resource.ID, "remotes": []any{"a:/src", "b:/dst"}, "mode": mode},
		}}}}, &job)
		s.jobs[mode] = job.ID
	}
	return err
}

// syncCounts are those of the counters that are looked at.
type syncCounts struct{ Copied, Skipped int }

// run runs a job and waits for its end.
func (s *syncer) run(ctx context.Context, mode string) (f figure, counts syncCounts, err error) {
	var execution struct {
		ID         string
		State      string
		FinishedAt time.Time
		Error      any
		Tasks      []struct{ Counters syncCounts }
	}
	before, err := s.used()
	if err != nil {
		return f, counts, err
	}
	began := time.Now()
	f, err = measure(ctx, s.d, func() error {
		began = time.Now()
		if err := s.call(ctx, "/v1/jobs/"+s.jobs[mode]+":run", struct{}{}, &execution); err != nil {
			return err
		}
		return s.d.await(ctx, 10*time.Millisecond, "SELECT NOT EXISTS (SELECT 1 FROM active_executions)")
	})
	if err != nil {
		return f, counts, err
	}
	after, err := s.used()
	if err != nil {
		return f, counts, err
	}
	f.program = after - before
	if err := s.get(ctx, "/v1/executions/"+execution.ID, &execution); err != nil {
		return f, counts, err
	}
	if execution.State != "SUCCEEDED" {
		return f, counts, fmt.Errorf("a sync is %s: %v", execution.State, execution.Error)
	}
	f.took = execution.FinishedAt.Sub(began)
	return f, execution.Tasks[0].Counters, nil
}

func (s *syncer) call(ctx context.Context, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return s.ask(ctx, http.MethodPost, path, text, answer)
}

func (s *syncer) get(ctx context.Context, path string, answer any) error {
	return s.ask(ctx, http.MethodGet, path, nil, answer)
}

func (s *syncer) ask(ctx context.Context, method, path string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+s.HTTP+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", "application/json")
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err == nil && got.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s answered %s: %.500s", method, path, got.Status, text)
	}
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

// perFolder is how many files a folder of a tree has.
const perFolder = 100

// tree says how many files to make, of how many bytes.
type tree struct{ files, size int }

// write makes the tree anew.
func (t tree) write(root string) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	content := make([]byte, min(t.size, 1<<20))
	for i := range content {
		content[i] = byte(i * 7)
	}
	for i := range t.files {
		folder := filepath.Join(root, fmt.Sprintf("%04d", i/perFolder))
		if i%perFolder == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
		}
		if err := writeFile(filepath.Join(folder, fmt.Sprintf("file-%06d.dat", i)), content, t.size); err != nil {
			return err
		}
	}
	return nil
}

// writeFile repeats content until the file has that size.
func writeFile(path string, content []byte, size int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	for ; size > 0 && err == nil; size -= len(content) {
		_, err = file.Write(content[:min(size, len(content))])
	}
	return errors.Join(err, file.Close())
}
