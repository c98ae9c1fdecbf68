package acc_test

import (
	"os"
	"testing"

	_ "github.com/pointscene/carillon/server/internal/remote/noconfig"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fstest/fstests"

	"github.com/pointscene/carillon/server/internal/remote/acc"
	"github.com/pointscene/carillon/tests/apstest"
)

// The library's own suite for backends.
func TestConformance(t *testing.T) {
	aps := apstest.Start(t, apstest.Options{RateFactor: 1000, MinPart: 64 << 10})
	// The suite wants to be run within the library's source, where it finds how
	// to start servers: none here.
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("fstest/testserver/init.d", 0o700); err != nil {
		t.Fatal(err)
	}
	config := []fstests.ExtraConfigItem{{Name: "TestAcc", Key: "rate_factor", Value: "900"}}
	for key, value := range aps.Config("ada") {
		config = append(config, fstests.ExtraConfigItem{Name: "TestAcc", Key: key, Value: value})
	}
	fstests.Run(t, &fstests.Opt{
		RemoteName: "TestAcc:Project Files", NilObject: (*acc.Object)(nil), ExtraConfig: config, QuickTestOK: true,
		ChunkedUpload: fstests.ChunkedUploadConfig{MinChunkSize: 64 * fs.Kibi, MaxChunkSize: 65 * fs.Kibi, NeedMultipleChunks: true},
	})
	for _, violation := range aps.Violations() {
		t.Error(violation)
	}
}
