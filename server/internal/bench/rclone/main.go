// Command rclone is the rclone program with what the benchmark needs of it:
// the version that the product embeds, its own main function, its commands
// copy and sync, and its local and S3 backends. It is a module of its own so
// that the product does not depend on rclone's commands.
package main

import (
	_ "github.com/rclone/rclone/backend/local"
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/copy"
	_ "github.com/rclone/rclone/cmd/sync"
)

func main() { cmd.Main() }
