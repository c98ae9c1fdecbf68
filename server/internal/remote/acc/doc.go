// Package acc is a backend of rclone for the files of a project in Autodesk
// Construction Cloud (ACC, or BIM 360 Docs), by the Data Management API of
// Autodesk Platform Services (APS). Paths begin with one of the project's top
// folders: "Project Files/plans/a.dwg".
//
// # Rules
//
//   - Nothing of a file is visible before the last step of writing it: storage,
//     signed parts, completion, and only then the item or its next version. What
//     is cancelled before leaves parts that the service throws away by itself.
//   - A file that exists gets a new version; a deletion is a version of type
//     Deleted, and a removed folder is hidden. People can restore both.
//   - A name that is taken (409) is no error: the file that has it gets the new
//     version, a hidden folder of that name is shown again.
//   - A step whose answer was lost is not repeated before the service was asked
//     whether it happened.
//   - The limits per minute, which APS counts per app, are kept by one bucket per
//     app for the whole process, a little below what is documented; a Retry-After
//     holds back everybody who uses the app. Waiting ends with the context.
//   - The bearer token goes to the endpoint only: signed URLs get none, and links
//     between pages are not followed but counted.
//   - Times can't be set. Contents are compared by SHA-1, one call per file; a
//     file for which the service has none is compared by size, and the log says
//     so once.
//   - Reserved characters of names are replaced in rclone's manner. Names with
//     ¢, ™ or ®, which are reserved too, names of more than 255 characters and
//     more than 25 levels of folders are errors of the file, before any call.
//   - Folders that are for plans accept a few types only, and take PDF files
//     apart: a PDF would never be equal again, so it is refused there.
//
// Names are taken to be unique whatever their case. That, the size of parts
// (5 MiB) and their number per call (25) are not documented; the careful reading
// was chosen.
package acc
