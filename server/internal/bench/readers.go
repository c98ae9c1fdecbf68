package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// readers read through the doors at fixed times, however long an answer takes:
// a slow answer does not spare the server the next question.
type readers struct {
	kinds []func(context.Context) error

	mu   sync.Mutex
	took []time.Duration
	err  error
}

// readEvery is the time between two reads.
const readEvery = 10 * time.Millisecond

func (c Config) openReaders(ctx context.Context, d *database, s *process) (*readers, error) {
	token, err := s.token(ctx, c, d)
	if err != nil {
		return nil, fmt.Errorf("carillon token: %w", err)
	}
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() }) // it ends with the run
	jobs := carillonv1.NewJobServiceClient(conn)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	r := &readers{kinds: []func(context.Context) error{
		func(ctx context.Context) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
			_, err := jobs.GetJob(ctx, &carillonv1.GetJobRequest{JobId: "job_1"})
			return err
		},
		func(ctx context.Context) error {
			return fetch(ctx, client, token, http.MethodGet, "http://"+s.HTTP+"/v1/instances/inst_1/executions", "")
		},
		func(ctx context.Context) error {
			return fetch(ctx, client, token, http.MethodPost, "http://"+s.HTTP+"/graphql", `{"query":"{ getScheduledJob(jobId: \"job_1\") { name nextRun history { id success } } }"}`)
		},
	}}
	// The first of each makes its connection.
	for _, read := range r.kinds {
		err = errors.Join(err, read(ctx))
	}
	return r, err
}

func fetch(ctx context.Context, client *http.Client, token, method, url, body string) error {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || strings.Contains(string(text), `"errors"`)) {
		err = fmt.Errorf("%s %s answered %s: %.300s", method, url, answer.Status, text)
	}
	return err
}

// run reads until ctx ends.
func (r *readers) run(ctx context.Context) {
	var open sync.WaitGroup
	defer open.Wait()
	began := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		due := began.Add(time.Duration(n) * readEvery)
		pause(ctx, time.Until(due))
		open.Go(func() { r.read(context.WithoutCancel(ctx), r.kinds[n%len(r.kinds)], due) })
	}
}

// read notes how long after its time a read was answered.
func (r *readers) read(ctx context.Context, kind func(context.Context) error, due time.Time) {
	err := kind(ctx)
	took := time.Since(due)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took, r.err = append(r.took, took), errors.Join(r.err, err)
}
