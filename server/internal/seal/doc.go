// Package seal encrypts what must not be readable in the database: the
// credentials of remotes and the private halves of signing keys.
//
// Rules:
//   - A [Keyring] is a Tink keyset of XChaCha20-Poly1305 keys. The primary key
//     seals, every enabled key opens. The id of the key is readable in a
//     [Sealed] value, so that values can be found and sealed anew after a
//     rotation.
//   - Every value is bound to its place by associated data ([AD]): the row and
//     its owner. A value that was moved to another row does not open, nor does
//     an older version of the same row. An AD is made by the constructor for
//     its kind of row and by nothing else.
//   - Whatever is wrong with a sealed value, Open answers [ErrOpen] and no more.
//   - The keyset lies in a file of its own, never in the database. It is made
//     at the first start, and never while the database already holds sealed
//     values, since a new keyset can't open them. A file that others may read
//     is refused. A [Wrapper] encrypts the file itself by a key of a KMS, which
//     is called when the file is read or written and never in between.
//   - The file says which keys there are. Which of them seals and which are out
//     of use is told by [Roles], which all replicas read from the database; the
//     file's own primary key counts only until there are any.
//   - A file is changed whole or not at all, by one process at a time.
//   - A plaintext that has to travel through the program does so as a
//     [Secret], which prints as [redacted].
//   - No error holds key material or plaintext.
package seal
