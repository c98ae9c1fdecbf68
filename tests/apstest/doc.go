// Package apstest is a fake of the parts of Autodesk Platform Services (APS)
// that a sync with Autodesk Construction Cloud (ACC) needs: OAuth tokens, the
// Data Management API of one project, and the object storage (OSS) with its
// signed URLs.
//
//	aps := apstest.Start(t, apstest.Options{})
//	aps.Put("Project Files/plans/a.dwg", "content")
//	config := aps.Config("ada") // type acc, with endpoint, app and a token
//
// # What it enforces
//
// The fake refuses whatever the documentation of APS does not allow, so that a
// client that works here has a chance to work there:
//
//   - Tokens expire after an hour, a refresh token works once and only with the
//     app's id and secret in the Basic header or the body, never both.
//   - Every call needs a bearer token with the right scope. Signed URLs must
//     not be sent one: that is noted in [Server.Violations].
//   - Bodies are JSON:API 1.0 with their own content type; ids, types, extension
//     types and relationships must be there and right.
//   - Listings are pages of at most 200, numbered from 0, with links.next while
//     there is more. Hidden items and folders are left out unless asked for.
//   - Each endpoint has its documented limit per minute and app, OSS one limit
//     for all; beyond it is 429 with Retry-After. Options.RateFactor and
//     Options.Minute change the scale, not the rule.
//   - Names have 1 to 255 characters without the reserved ones and are unique in
//     their folder (409), whatever their case. Deleting frees a file's name, as
//     the Deleted version has a name of its own; a hidden folder keeps its name.
//   - Nothing can be made beside the top folders (403), nor more than 25 levels
//     below them (400). "Plans" takes a few types of files only (400).
//   - An upload is: storage, signed URLs (25 at a time, valid for 1 to 60
//     minutes), parts of at least 5 MiB but the last, the list of their eTags,
//     then an item or a version. A part's URL ends, the upload key does not
//     before 24 hours. Nothing is visible before the last step.
//   - A deleted file has a version of type Deleted and is hidden; a copy of an
//     older version (copyFrom) restores it.
//
// # What it does not know
//
// Whether the real service compares names by case, how small a part may be, how
// many URLs one call may ask for, and whether hidden folders keep their names is
// not documented: the fake is strict in each. Permissions are per folder
// ([Server.Deny]), not per user.
//
// # Faults
//
// [Server.Inject] makes calls fail, wait or lose their connection, by the names
// of the operations (the Op constants). [Server.Requests] counts calls by them.
package apstest
