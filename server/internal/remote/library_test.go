package remote

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/job"
)

// Traps of the library, and the tests that would catch each:
//
//   - A cancelled sync may be a success: TestCancelledSessionIsNeverASuccess,
//     TestCancelAtTheLastFile.
//   - A cancel may take a minute, and leave parts or half a file behind:
//     TestCancelInTheMiddleOfAFile, TestCancelWhileTheServerIsSilent,
//     TestLeftoversOfAKilledProcess.
//   - "It is a file", rooted at the folder above, when a login is refused:
//     TestRefusedCredentialsTouchNoNeighbours, TestItIsAFileIsAnError,
//     TestPathThatIsAFileIsRefused.
//   - A mirror from a missing or empty prefix deletes everything, and the limit
//     of deletions strikes in the middle of them: TestGuards, TestMissingSource,
//     TestMissingPlacesOnS3.
//   - A signal handler that ends the process, options that do, variables and files
//     that it reads, connections that stay: TestLibraryLeavesTheProcessAlone,
//     TestKeysAreTheLibrarysOptions, TestRemotesAreShutDownWithTheirSession.
//   - Remotes of one name are one account: TestNamesTellResourcesApart,
//     TestSameNamesDoNotCross, TestOverlapIsRefused.
//   - Remotes by connection strings: TestOnlyKnownBackendsAreThere.
//   - Refresh tokens that are used twice: TestTokensAreRenewedOnceAndKeptBeforeUse,
//     TestTokenThatCanNotBeKeptIsNotUsed.
//   - Google documents are dropped without a word, or overwritten:
//     TestDriveDocumentsAreSkipped, TestDriveDocumentsWithoutAnExportAreTold,
//     TestDriveExportsAreNoFilesOfADestination, TestDriveFormatsThatAreNotKnown.
//   - Sizes alone are compared where there are no times: TestACCThereAndBack,
//     TestWebDAVThereAndBack.
//   - The bandwidth of a context has no effect, a low one delays a cancel:
//     TestBandwidthHoldsASessionBack, TestSettingsOfASession.
//   - Counters of old groups are dropped while they are used, those of ended ones
//     kept: TestLibraryLeavesTheProcessAlone, TestSessionLeavesNoCountersBehind.
//   - Patterns are not anchored: TestFilters.
//   - Errors that are only counted: TestErrorsThatAreOnlyCountedFailTheSync.
//   - Lines without a context: TestLinesWithoutASessionAreMasked, TestLogsDoNotMix.
//   - A transport that all sessions share: TestSharedTransportBelongsToSessions.

// Backends that wrap others resolve them by connection strings, a way to the
// server's own files; no library may bring one along.
func TestOnlyKnownBackendsAreThere(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"crypt": true} // the library compares checksums with it; no type of ours leads to it
	for _, k := range kinds {
		known[k.backend] = true
	}
	for _, info := range fs.Registry {
		if !known[info.Name] {
			t.Errorf("the library has the backend %s", info.Name)
		}
	}
	if len(fs.Registry) < 8 {
		t.Errorf("only %d backends: the list says nothing", len(fs.Registry))
	}
}

// What an error of the library counts for, although its call answered none.
func TestErrorsThatAreOnlyCountedFailTheSync(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	from, to := mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst")
	result, _, err := b.sync(t, s, from, to, func(r *Request) {
		r.OnFile = func(context.Context, job.FileRecord) { _ = fs.CountError(s.ctx, errors.New("went wrong aside")) }
	})
	wantReason(t, err, ReasonRemoteFailed)
	if result.Copied != 1 || !strings.Contains(err.Error(), "went wrong aside") {
		t.Errorf("%+v, %v", result, err)
	}
}

// The library's limit of a whole process would do nothing for one session.
func TestBandwidthHoldsASessionBack(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": strings.Repeat("x", MinBandwidth), "b": strings.Repeat("y", MinBandwidth)}.write(t, b.root+"/src")
	s := b.Begin(t.Context(), SessionOptions{ID: t.Name(), Log: slog.New(slog.DiscardHandler), Bandwidth: 2 * MinBandwidth, Transfers: 2})
	defer s.Close()
	began := time.Now()
	_, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst"), nil)
	if took := time.Since(began); err != nil || took < 700*time.Millisecond {
		t.Errorf("512 KiB at 512 KiB/s took %v, %v", took, err)
	}
}

// Some types keep connections or uploads until they are told that it is over;
// one that does not answer is not waited for.
func TestRemotesAreShutDownWithTheirSession(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	s := b.session(t.Context(), t)
	var told atomic.Int64
	for i, name := range []string{"good", "stuck"} {
		mustOpen(t, s, local(name), "/"+name).fs.Features().Shutdown = func(ctx context.Context) error {
			told.Add(1)
			if i == 0 {
				return ctx.Err()
			}
			select {} // never answers
		}
	}
	began := time.Now()
	s.Close()
	if took := time.Since(began); told.Load() != 2 || took > closeTimeout+10*time.Second {
		t.Errorf("%d remotes were told, in %v", told.Load(), took)
	}
}
