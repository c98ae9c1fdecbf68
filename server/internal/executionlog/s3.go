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
	const checksums = "response_checksum_validation"
	query := address.Query()
	if !query.Has(checksums) {
		// Otherwise the SDK prints a line for every object of a compatible
		// store that keeps no checksums.
		query.Set(checksums, "when_required")
	}
	resolved := *address
	resolved.RawQuery = query.Encode()
	bucket, err := blob.OpenBucket(ctx, resolved.String())
	return bucket, nil, err
}
