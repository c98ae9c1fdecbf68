// Package noconfig keeps rclone from touching the host's configuration. It is
// imported for its effect only.
//
// The library looks for a configuration file while its packages initialise,
// makes an empty folder in the home directory for it, and reads RCLONE_*
// variables as defaults of options, client certificates and proxies among
// them. This package takes all of that away before the library starts.
//
// Rule: no import but os. Packages are initialised in the order of their
// import paths as soon as what they import is ready, so a package that needs
// only os and whose path sorts before github.com/rclone comes first. A test
// of package remote proves it.
package noconfig

import "os"

const prefix = "RCLONE_"

func init() {
	for _, entry := range os.Environ() {
		if len(entry) < len(prefix) || entry[:len(prefix)] != prefix {
			continue
		}
		for i := range len(entry) {
			if entry[i] == '=' {
				_ = os.Unsetenv(entry[:i])
				break
			}
		}
	}
	// The library's own word for "keep the configuration in memory".
	_ = os.Setenv("RCLONE_CONFIG", "/notfound")
}
