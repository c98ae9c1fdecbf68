package remote

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/config/obscure"

	"github.com/pointscene/carillon/server/internal/task"
)

// saved are the options that the library may change for good: the host key of
// an SSH server's first answer. Tokens are renewed by ourselves (token.go).
var saved = map[string]bool{"host_keys": true}

// options is what the library reads one remote's options from. It knows
// nothing but the stored configuration, what this package fixes, and the
// library's defaults: no file, no environment.
type options struct {
	ctx context.Context
	cfg task.RemoteConfig
	// learn hides a new secret before it is used.
	learn func(secret string)
	// fail ends the session: what could not be saved must not be used.
	fail func(error)
	// tokens is nil for a type without OAuth.
	tokens *tokens

	mu     sync.Mutex
	values map[string]string
}

// mapper returns the library's view of o.
func (o *options) mapper(info *fs.RegInfo) configmap.Mapper {
	m := configmap.New()
	m.AddGetter(o, configmap.PriorityConfig)
	m.AddGetter(defaults{info.Options}, configmap.PriorityDefault)
	m.AddSetter(o)
	return m
}

// Get is the library's way to read an option.
func (o *options) Get(name string) (string, bool) {
	if name == "token" && o.tokens != nil {
		return o.tokens.get()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	value, ok := o.values[name]
	return value, ok
}

// Set is the library's way to change an option. What is saved is sealed
// before this returns, and with that before the library uses it.
func (o *options) Set(name, value string) {
	if name == "token" && o.tokens != nil {
		o.tokens.set(value)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if saved[name] {
		o.learn(value)
		if err := o.save(name, value); err != nil {
			o.fail(fmt.Errorf("save the new %s of remote %q: %w", name, o.cfg.Name, err))
			return
		}
	}
	o.values[name] = value
}

func (o *options) save(name, value string) error {
	if o.cfg.Save == nil {
		return nil
	}
	// Although the execution is being cancelled.
	return o.cfg.Save(context.WithoutCancel(o.ctx), name, value)
}

// defaults answers with what an option is when nobody set it.
type defaults struct{ options fs.Options }

func (d defaults) Get(name string) (string, bool) {
	option := d.options.Get(name)
	if option == nil {
		return "", false
	}
	unset := *option
	unset.Value = nil
	return unset.String(), true
}

// translate turns a stored configuration into the library's options.
func translate(cfg task.RemoteConfig, k kind, info *fs.RegInfo) (map[string]string, error) {
	values := make(map[string]string, len(cfg.Options)+len(k.fixed))
	for name, value := range cfg.Options {
		key, ok := k.keys[name]
		if !ok {
			return nil, fmt.Errorf("stored option %q is not known for type %s", name, cfg.Type)
		}
		if value == "" || key.ours {
			continue
		}
		option := key.optionName(name)
		if o := info.Options.Get(option); o != nil && o.IsPassword {
			hidden, err := obscure.Obscure(value)
			if err != nil {
				return nil, fmt.Errorf("prepare option %q: %w", name, err)
			}
			value = hidden
		}
		values[option] = value
	}
	for name, value := range k.fixed {
		values[name] = value
	}
	adjust(cfg.Type, values)
	return values, nil
}

// adjust sets what depends on other options.
func adjust(typ string, values map[string]string) {
	switch typ {
	case "s3":
		if values["provider"] == "" {
			values["provider"] = "AWS"
			if values["endpoint"] != "" {
				values["provider"] = "Other"
			}
		}
	case "drive":
		// Documents are exported only when somebody asks for it.
		if values["export_formats"] == "" || values["skip_gdocs"] == "true" {
			delete(values, "skip_gdocs")
			values[showDocuments] = "true"
		}
	case "sftp":
		// The library wants a key on one line, with the line ends escaped.
		values["key_pem"] = strings.NewReplacer("\r", "", "\n", `\n`).Replace(values["key_pem"])
		// The first answer of a server fixes its host key.
		if values["host_keys"] == "" {
			values["pin_host_key"] = "true"
		}
	}
}
