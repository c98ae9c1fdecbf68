package acc

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/rclone/rclone/backend/overview"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/config/configstruct"
	"github.com/rclone/rclone/fs/fshttp"
	"github.com/rclone/rclone/lib/dircache"
	"github.com/rclone/rclone/lib/encoder"
	"github.com/rclone/rclone/lib/oauthutil"
	"golang.org/x/oauth2"
)

// Name is the backend's name in the library.
const Name = "acc"

// DefaultEndpoint is where Autodesk serves the API.
const DefaultEndpoint = "https://developer.api.autodesk.com"

const (
	// minChunk is the least size of a part but the last, as S3 has it.
	minChunk = 5 * fs.Mebi
	// defaultChunk is held in memory once per file that is being written.
	defaultChunk = 8 * fs.Mebi
	// maxChunk keeps what a file takes of the memory within bounds.
	maxChunk = 128 * fs.Mebi
)

// Options are the keys that the library reads.
type Options struct {
	HubID      string               `config:"hub_id"`
	ProjectID  string               `config:"project_id"`
	Endpoint   string               `config:"endpoint"`
	ChunkSize  fs.SizeSuffix        `config:"chunk_size"`
	RateFactor float64              `config:"rate_factor"`
	Enc        encoder.MultiEncoder `config:"encoding"`
}

func init() {
	fs.Register(&fs.RegInfo{
		Name: Name, Description: "Autodesk Construction Cloud", NewFs: NewFs, Overview: new(overview.BackendConfig),
		Options: append(slices.Clone(oauthutil.SharedOptions),
			fs.Option{Name: "hub_id", Help: "ID of the hub, which is the account's with b. before it.", Required: true},
			fs.Option{Name: "project_id", Help: "ID of the project, with b. before it.", Required: true},
			fs.Option{Name: "endpoint", Help: "Where the API is.", Default: DefaultEndpoint, Advanced: true},
			fs.Option{Name: "chunk_size", Help: "Size of the parts of an upload.", Default: defaultChunk, Advanced: true},
			fs.Option{Name: "rate_factor", Help: "Share of the app's documented limits to use.", Default: 1.0, Advanced: true},
			fs.Option{Name: config.ConfigEncoding, Help: config.ConfigEncodingHelp, Advanced: true,
				Default: encoder.EncodeLtGt | encoder.EncodeColon | encoder.EncodeDoubleQuote | encoder.EncodeSlash |
					encoder.EncodeBackSlash | encoder.EncodePipe | encoder.EncodeQuestion | encoder.EncodeAsterisk |
					encoder.EncodeBackQuote | encoder.EncodeCrLf | encoder.EncodeCtl | encoder.EncodeDel | encoder.EncodeDot |
					encoder.EncodeLeftSpace | encoder.EncodeRightSpace | encoder.EncodeRightPeriod | encoder.EncodeInvalidUtf8},
		),
	})
}

// NewFs opens the folder at root. It calls the service only to find out
// whether root is a file, which a root that ends in a slash is not.
func NewFs(ctx context.Context, name, root string, m configmap.Mapper) (fs.Fs, error) {
	opt := new(Options)
	if err := configstruct.Set(m, opt); err != nil {
		return nil, err
	}
	if opt.HubID == "" || opt.ProjectID == "" {
		return nil, errors.New("hub_id and project_id are needed")
	}
	if opt.ChunkSize < minChunk || opt.ChunkSize > maxChunk {
		return nil, fmt.Errorf("chunk_size must be from %v to %v", minChunk, maxChunk)
	}
	opt.HubID, opt.ProjectID = withPrefix(opt.HubID), withPrefix(opt.ProjectID)
	c, err := newClient(ctx, name, opt, m)
	if err != nil {
		return nil, err
	}
	isFolder := strings.HasSuffix(root, "/")
	f := &Fs{name: name, root: strings.Trim(path.Clean("/"+root), "/"), opt: opt, client: c}
	f.features = (&fs.Features{CanHaveEmptyDirectories: true, CaseInsensitive: true, SlowHash: true}).Fill(ctx, f)
	f.dirs = dircache.New(f.root, projectRoot, f)
	if f.root == "" || isFolder {
		return f, nil
	}
	return f.orFile(ctx)
}

// withPrefix completes an id of the account's administration.
func withPrefix(id string) string {
	if strings.Contains(id, ".") {
		return id
	}
	return "b." + id
}

func newClient(ctx context.Context, name string, opt *Options, m configmap.Mapper) (*client, error) {
	endpoint := strings.TrimSuffix(opt.Endpoint, "/")
	clientID, _ := m.Get(config.ConfigClientID)
	secret, _ := m.Get(config.ConfigClientSecret)
	oauth := &oauthutil.Config{ClientID: clientID, TokenURL: endpoint + "/authentication/v2/token", AuthStyle: oauth2.AuthStyleInHeader}
	if secret == "" { // an app without a secret names itself in the body
		oauth.AuthStyle = oauth2.AuthStyleInParams
	}
	bare := fshttp.NewClient(ctx)
	authorized, tokens, err := oauthutil.NewClientWithBaseClient(ctx, name, m, oauth, bare)
	if err != nil {
		return nil, err
	}
	// A redirect of the API to another host must not take the token along.
	authorized.CheckRedirect = noRedirect
	return &client{endpoint: endpoint, http: authorized, bare: bare, tokens: tokens,
		app: appFor(endpoint, clientID, opt.RateFactor), told: map[string]bool{}}, nil
}

// orFile opens the folder above when root is a file.
func (f *Fs) orFile(ctx context.Context) (fs.Fs, error) {
	err := f.dirs.FindRoot(ctx, false)
	if !errors.Is(err, fs.ErrorDirNotFound) {
		return f, err
	}
	parent, leaf := dircache.SplitPath(f.root)
	above := &Fs{name: f.name, root: parent, opt: f.opt, client: f.client}
	above.features = (&fs.Features{CanHaveEmptyDirectories: true, CaseInsensitive: true, SlowHash: true}).Fill(ctx, above)
	above.dirs = dircache.New(parent, projectRoot, above)
	if _, err := above.NewObject(ctx, leaf); err != nil {
		if errors.Is(err, fs.ErrorObjectNotFound) || errors.Is(err, fs.ErrorDirNotFound) {
			return f, nil
		}
		return nil, err
	}
	return above, fs.ErrorIsFile
}
