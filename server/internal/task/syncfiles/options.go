package syncfiles

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/task"
)

// Reasons of this package's own.
const (
	ReasonBadRemote      = "INVALID_REMOTE"
	ReasonTooFewRemotes  = "TOO_FEW_REMOTES"
	ReasonTooManyRemotes = "TOO_MANY_REMOTES"
	ReasonBadPattern     = "INVALID_PATTERN"
)

const (
	maxRemotes = 20
	maxPattern = 1024 // bytes
)

// options are a sync's arguments.
type options struct {
	resource         string
	places           []place
	mode             remote.Mode
	include, exclude []string
	maxDelete        remote.DeleteLimit
	dryRun, checksum bool
	allowEmptySource bool
	transfers        int
	bandwidth        int64
	// backupDir is a path on each destination's remote, empty for none.
	backupDir string
}

// place is one of the remotes of a sync.
type place struct{ name, path string }

func (p place) String() string { return p.name + ":" + p.path }

// read reads the arguments; id is the name of the one that holds the resource.
func read(args task.Args, id string) (*options, error) {
	r := task.Read(args)
	o := &options{
		resource:  r.ID(id),
		places:    readPlaces(r),
		mode:      cmp.Or(remote.Mode(r.String("mode")), remote.Mirror),
		exclude:   readPatterns(r, "exclude"),
		include:   readPatterns(r, "include"),
		maxDelete: remote.DefaultDeleteLimit,
		dryRun:    r.Bool("dryRun"),
		checksum:  r.Bool("checksum"),
		backupDir: r.String("backupDir"),

		allowEmptySource: r.Bool("allowEmptySource"),
		transfers:        int(r.Int("transfers")),
	}
	if v := r.Any("maxDelete"); v != nil {
		limit, err := remote.ParseDeleteLimit(v)
		if err != nil {
			r.Refuse("maxDelete", task.ReasonInvalidValue, "%v", err)
		}
		o.maxDelete = limit
	}
	if v := r.Any("bandwidth"); v != nil {
		limit, err := remote.ParseBandwidth(v)
		if err != nil {
			r.Refuse("bandwidth", task.ReasonInvalidValue, "%v", err)
		}
		o.bandwidth = limit
	}
	o.checkBackup(r)
	return o, r.Done()
}

// checkBackup refuses a folder for backups that is synced itself.
func (o *options) checkBackup(r *task.Reader) {
	if o.backupDir == "" {
		return
	}
	if o.mode == remote.Bisync {
		r.Refuse("backupDir", task.ReasonInvalidValue, "a bisync has none: it keeps both versions of what changed on both sides")
		return
	}
	if _, why := parsePlace("x:" + o.backupDir); why != "" || !strings.HasPrefix(o.backupDir, "/") {
		r.Refuse("backupDir", task.ReasonInvalidValue, "must be a path on the destination's remote that begins with a slash; it has no name before a colon and no \"..\"")
		return
	}
	for i, p := range o.places {
		sameRemote := func(dest place) bool { return dest.name == p.name }
		if (i > 0 || slices.ContainsFunc(o.places[1:], sameRemote)) && remote.PathsOverlap(p.path, o.backupDir) {
			r.Refuse("backupDir", remote.ReasonOverlap, "overlaps %s", p)
			return
		}
	}
}

func readPlaces(r *task.Reader) []place {
	texts := r.Strings("remotes")
	if n := len(texts); n == 1 {
		r.Refuse("remotes", ReasonTooFewRemotes, "a sync needs two or more remotes: the first is the source")
	} else if n > maxRemotes {
		r.Refuse("remotes", ReasonTooManyRemotes, "at most %d remotes", maxRemotes)
		return nil
	}
	places := make([]place, 0, len(texts))
	for i, text := range texts {
		p, why := parsePlace(text)
		if why != "" {
			r.Refuse(task.Index("remotes", i), ReasonBadRemote, "%s", why)
			continue
		}
		for _, other := range places {
			if other.name == p.name && remote.PathsOverlap(other.path, p.path) {
				r.Refuse(task.Index("remotes", i), remote.ReasonOverlap, "overlaps %s: one would be synced into itself", other)
				break
			}
		}
		places = append(places, p)
	}
	return places
}

var placeRE = regexp.MustCompile(`^(` + remote.Work + `|[A-Za-z0-9_-]{1,64}):((?s).*)$`)

// parsePlace reads name:path, or says what is wrong with it.
func parsePlace(text string) (p place, why string) {
	match := placeRE.FindStringSubmatch(text)
	if match == nil {
		return place{}, "must be name:/path, where name is a remote of the resource's config (letters, digits, underscores and hyphens), or " +
			remote.Work + " for the execution's work directory"
	}
	p = place{name: match[1], path: match[2]}
	if why := task.CheckRemotePath(p.path); why != "" {
		return place{}, why
	}
	return p, ""
}

func readPatterns(r *task.Reader, name string) []string {
	patterns := r.Strings(name)
	if err := remote.CheckFilters(patterns); err != nil {
		r.Refuse(name, ReasonBadPattern, "%v", err)
		return nil
	}
	for i, pattern := range patterns {
		if len(pattern) > maxPattern {
			r.Refuse(task.Index(name, i), ReasonBadPattern, "must have at most %d bytes", maxPattern)
		} else if err := remote.CheckFilter(pattern); err != nil {
			r.Refuse(task.Index(name, i), ReasonBadPattern, "not a filter pattern of rclone")
		}
	}
	if name == "include" {
		if at, err := remote.CheckIncludes(patterns); err != nil {
			r.Refuse(task.Index(name, at), ReasonBadPattern, "%v", err)
		}
	}
	return patterns
}
