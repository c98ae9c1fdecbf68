package executionlog

import (
	"context"
	"net/url"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // registers s3://
)

// openS3 takes the parameters that go-cloud documents: region, endpoint,
// use_path_style, prefix. Credentials come from the environment, as for every
// AWS program.
func openS3(ctx context.Context, address *url.URL) (*blob.Bucket, func(string) error, error) {
	bucket, err := blob.OpenBucket(ctx, address.String())
	return bucket, nil, err
}
