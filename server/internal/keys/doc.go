// Package keys rotates what everything else is sealed and signed with: the
// rules behind the KeyService and `carillon keys`, and the loop by which every
// replica follows.
//
// A sealing key's life is add, promote, rewrap, disable, destroy. Its rules:
//   - Key material lies in the keyset file and nowhere else. What a key is for
//     lies in the database, so that all replicas change over at once, whether
//     or not they share the file.
//   - Every process that opens the keyset looks at its file once a second, and at
//     the database when a signal tells of a change, with every other heartbeat
//     and, at most, every [followEvery]; without signals every second too. It reports which keys it
//     holds and with which it seals. A report lives for [livesFor].
//   - A key is promoted only when every living process holds it, disabled only
//     when it seals nothing and nobody seals with it, and destroyed only when
//     it has been disabled for [destroyAfter] or the caller insists. The states
//     change under a lock that whoever stores a sealed value shares.
//   - Each step happens whole or not at all and may be repeated. Sealing anew
//     goes in pages and replaces a value only if it is still the one that was
//     read, so that it may end anywhere and run beside everything else.
//   - A keyset file that lacks a key which the database needs is not taken over:
//     the keys of before stay in use, and the log says so.
//   - Every call needs the scope operator.
package keys
