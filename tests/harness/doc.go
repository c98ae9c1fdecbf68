// Package harness starts the real program as its users do and calls it through
// its doors.
//
// Rules:
//   - The program is built once for a test binary ([Main]), with the race
//     detector when the tests have it.
//   - Every server has a data folder and ports of its own, and is stopped at the
//     end of its test. A clean stop is part of every story: exit code 0, no data
//     race, no panic, and no line of level ERROR unless the story expects some.
//     Around the time at which the machine stalls ([Stalled]) it may be too late
//     for its lease or its database.
//   - A call is one RPC name and the JSON of its request, whatever the door
//     ([Door]), so that a story is told once and checked on all of them. The
//     answers of the doors are brought into one shape ([Canonical]).
//   - Nothing waits for a fixed time: [Wait] asks again until its deadline.
package harness
