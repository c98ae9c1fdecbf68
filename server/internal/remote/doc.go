// Package remote reaches the places where files are kept and makes one like
// another. It is the only package, with its subfolders, that imports rclone,
// whose Go API is not stable: keep the version pinned, and a test for each trap.
//
// [Remotes] belongs to the process, a [Session] to one use of two remotes, and
// a [Remote] is an opened folder of a session.
//
// # Isolation
//
//   - A remote is opened from its stored configuration alone: no configuration
//     file, no RCLONE_* variable, no connection string, no cache of the
//     library. Keys are allow-listed per type, when they are stored and again
//     when they are used; options that run commands, read files of the server
//     or use its identity are on no list.
//   - The library's name of a remote is name@resource, since it takes remotes
//     of one name for one account.
//   - Settings, counters, log lines and connections belong to a session. Lines
//     that the library writes without a context (few, and none about a file's
//     fate) go to the service's log at debug level.
//   - Texts that leave a session (errors, events, lines) hold no value of a
//     secret option and no query of a URL.
//   - A refreshed token is saved before it is used; if that fails the session
//     ends.
//
// # The way out
//
// The library dials for itself and offers no hook. So each session gives it a
// SOCKS5 proxy on loopback, with a password of the session's own, as its only
// proxy; behind it is the dialer given in [Options]. Guaranteed by that:
//
//   - Every connection of s3, drive, dropbox, webdav, sftp, gcs, azureblob and
//     acc, also those to OAuth servers and after redirects, is made by the
//     dialer, which sees the name and decides after resolving it. There is no
//     second resolving that could answer differently.
//   - The library has one HTTP transport for the whole process, which azureblob
//     uses instead of the session's: it takes the tunnel of the session in a
//     request's context, sends nothing without one, and shares no connection
//     between sessions (shareTransport).
//   - HTTP_PROXY and its like in the environment are not used.
//   - What the library does without a session's context is given a proxy that
//     does not exist, and all its sockets start from 127.0.0.1: a path past
//     the gate could reach this machine, but no other.
//   - A refusal of the dialer ends the session; nothing is tried again.
//   - The end of a session's context closes its connections. New ones can be made
//     for a second and a half, to give up what was begun (farewell); after that no
//     library call reaches anything any more, and nobody waits for one that goes
//     on all the same.
//
// Not guaranteed: the Dropbox library keeps one more client, which this code
// never calls, for change notifications of Dropbox's own fixed host.
//
// # Safety of a sync
//
//   - Roots end in a slash and "it is a file" is an error: otherwise a refused
//     login would make the library open the folder above.
//   - What may delete changes nothing before both sides were listed and
//     compared. A missing or empty source, more deletions than allowed, or
//     another root than before stop it there. A missing folder is one that the
//     remote says is missing: no other error is taken for it.
//   - A plan that was approved is made again and compared by its digest.
//   - Files are announced before they are changed, and told of afterwards.
//   - Nothing is seen under its name before it is whole. A remote that would show
//     it (sftp, most of webdav) gets it under another name first (partial.go).
//   - Deletions come last and only if nothing failed; what stands where the
//     source has a folder or a file of the same name goes first, within the
//     same limit. What a filter hides is not deleted.
//   - Names that lead out of their folder are failures, never paths.
//   - The end of the context is looked at before any result: the library may
//     call a cancelled sync a success.
//   - Sides without times are compared by a common hash; without one by size,
//     with a warning.
//
// Folders are made as files need them, and at the destination removed when
// they are gone at the source; empty ones and their times are not copied. The
// plan holds what differs, up to a bound (maxHeld); beyond it the changes are
// found again when they are made. A bisync holds its changes, and the listing packed.
package remote
