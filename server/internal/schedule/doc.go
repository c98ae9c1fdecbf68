// Package schedule computes when a job is due. It is pure: the same
// [job.Schedule] and instant always give the same answer, on every replica.
//
// A slot is a nominal due instant, in UTC and whole seconds. [Compile] checks
// what a job says of them and makes a [Schedule], which answers which there are.
//
// Rules:
//   - Cron is the five-field language of Vixie cron; what is refused is named
//     in cron.go and refuse.go with the fix. Day of month and day of week are
//     OR-ed when neither field starts with *, else AND-ed.
//   - A cron job whose minute and hour fields both don't start with * is
//     fixed-time. Each matching local time of such a job counts once: one that
//     the clock skips, by three hours or less, runs at the first instant after
//     the jump (several skipped ones are one slot), one that comes twice runs
//     the first time. [job.GapSkip] and [job.OverlapBoth] choose otherwise.
//     Every other cron job follows the clock: both passes run and nothing is
//     made up.
//   - An interval is elapsed time: slot(n) = anchor + n*interval, n >= 1. It
//     knows no DST; the zone only says what its excluded dates mean.
//   - Start (inclusive), end (exclusive) and exclusions select slots. Jitter
//     never changes a slot: it is added by [Schedule.FireAt], the same for the
//     same job and slot, and stays before the next slot. So a start may lie
//     after the end by less than the jitter.
//   - An excluded date removes the slots whose local date it is. A skipped
//     local time that is made up belongs to its own date, not to the date of
//     the instant at which it runs.
//   - There are no slots before 1970 or after 2199. That bounds every search:
//     no definition and no instant makes a call run long or overflow.
//
// A Schedule is immutable and safe for concurrent use; Next does not allocate.
//
// Zones come from package time: the system's zoneinfo first. The main program
// imports time/tzdata so that machines without zoneinfo work too. A process
// reads each zone once, so new zone data takes effect at the next start, and
// replicas that share a database must have the same zone data.
package schedule
