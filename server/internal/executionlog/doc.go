// Package executionlog keeps one log per execution in a blob store, readable
// by every replica while the execution runs and afterwards.
//
// A log is a series of JSON lines, {"time", "level", "task", "message", …}.
// Each attempt numbers its lines from 0 and stores them in segments of about
// 128 KiB, one object each, whose key says the attempt, the number of its
// first line and how many bytes come before:
//
//	logs/inst_1/exec_5/0001/0000000000-000000000000.ndjson
//
// Rules:
//   - A segment only ever grows: the last one is stored again, longer, about
//     once a second while lines come, and never after the next one has begun.
//     So an attempt that ends within a second makes one write, and a crash
//     loses the last second at most.
//   - An attempt that writes no line costs no I/O and no goroutine, and leaves
//     no object.
//   - A cursor is an attempt and a line number. It means the same on every
//     replica, so a reader resumes without a gap or a repeat.
//   - A log has a limit. Its first half is kept and, behind that, the newest
//     half: older segments are deleted. Whoever reads across missing lines is
//     told how many there were, and how many bytes; the keys say so.
//   - Values given to [Writer.Mask] are replaced in every line before it is
//     kept anywhere, also in memory.
//   - A store that fails never fails an execution. Lines that could not be
//     stored are lost, reported to Options.OnFailure and by [Writer.Close].
package executionlog
