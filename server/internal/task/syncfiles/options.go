package syncfiles

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/task"
)

// Reasons of this package's own.
const (
	ReasonBadRemote        = "INVALID_REMOTE"
	ReasonTooFewRemotes    = "TOO_FEW_REMOTES"
	ReasonTooManyRemotes   = "TOO_MANY_REMOTES"
	ReasonModeNotAvailable = "MODE_NOT_AVAILABLE"
	ReasonBadPattern       = "INVALID_PATTERN"
)

const (
	maxRemotes  = 20
	maxPath     = 4096 // bytes
	maxPatterns = 1000
	maxPattern  = 1024 // bytes
)

// options are a sync's arguments.
type options struct {
	resource         string
	places           []place
	mode             remote.Mode
	include, exclude []string
	maxDelete        remote.DeleteLimit
	dryRun, checksum bool
	transfers        int
	bandwidth        int64
}

// place is one of the remotes of a sync.
type place struct{ name, path string }

func (p place) String() string { return p.name + ":" + p.path }

// read reads the arguments; id is the name of the one that holds the resource.
func read(args task.Args, id string) (*options, error) {
	r := task.Read(args)
	o := &options{
		resource:  r.ID(id, task.Required),
		places:    readPlaces(r),
		mode:      readMode(r),
		exclude:   readPatterns(r, "exclude"),
		include:   readPatterns(r, "include"),
		maxDelete: remote.DefaultDeleteLimit,
		dryRun:    r.Bool("dryRun", task.Optional),
		checksum:  r.Bool("checksum", task.Optional),
		transfers: int(r.Int("transfers", task.Optional, 1, remote.MaxTransfers)),
	}
	if v := r.Any("maxDelete", task.Optional); v != nil {
		limit, err := remote.ParseDeleteLimit(v)
		if err != nil {
			r.Refuse("maxDelete", task.ReasonInvalidValue, "%v", err)
		}
		o.maxDelete = limit
	}
	if v := r.Any("bandwidth", task.Optional); v != nil {
		limit, err := remote.ParseBandwidth(v)
		if err != nil {
			r.Refuse("bandwidth", task.ReasonInvalidValue, "%v", err)
		}
		o.bandwidth = limit
	}
	return o, r.Done()
}

func readMode(r *task.Reader) remote.Mode {
	if !r.Has("mode") {
		r.String("mode", task.Optional) // makes it known
		return remote.Mirror
	}
	switch mode := r.String("mode", task.Required); remote.Mode(mode) {
	case remote.Mirror, remote.Copy:
		return remote.Mode(mode)
	case "bisync":
		r.Refuse("mode", ReasonModeNotAvailable, "bisync is not offered yet; use mirror or copy")
	case "":
	default:
		r.Refuse("mode", task.ReasonInvalidValue, "must be one of mirror, copy")
	}
	return ""
}

func readPlaces(r *task.Reader) []place {
	texts := r.Strings("remotes", task.Required)
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

var placeRE = regexp.MustCompile(`^([A-Za-z0-9_-]{1,64}):((?s).*)$`)

// parsePlace reads name:path, or says what is wrong with it.
func parsePlace(text string) (p place, why string) {
	match := placeRE.FindStringSubmatch(text)
	if match == nil {
		return place{}, "must be name:/path, where name is a remote of the resource's config: letters, digits, underscores and hyphens"
	}
	p = place{name: match[1], path: match[2]}
	switch {
	case len(p.path) > maxPath:
		return place{}, "the path is too long"
	case !utf8.ValidString(p.path) || strings.ContainsFunc(p.path, unicode.IsControl):
		return place{}, "the path must be text without control characters"
	case slices.Contains(strings.Split(p.path, "/"), ".."):
		return place{}, `the path must not contain ".."`
	}
	return p, ""
}

func readPatterns(r *task.Reader, name string) []string {
	patterns := r.Strings(name, task.Optional)
	if len(patterns) > maxPatterns {
		r.Refuse(name, task.ReasonOutOfRange, "at most %d patterns", maxPatterns)
		return nil
	}
	for i, pattern := range patterns {
		if len(pattern) > maxPattern {
			r.Refuse(task.Index(name, i), ReasonBadPattern, "must have at most %d bytes", maxPattern)
		} else if err := remote.CheckFilter(pattern); err != nil {
			r.Refuse(task.Index(name, i), ReasonBadPattern, "not a filter pattern of rclone")
		}
	}
	return patterns
}
