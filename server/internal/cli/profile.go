package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// profile is what login keeps: how to reach the service, and who asks. It lies
// in client.yaml of the user's configuration folder, or where
// CARILLON_PROFILE says, mode 0600.
type profile struct {
	APIAddr   string `yaml:"apiAddr,omitempty"`
	TLSCA     string `yaml:"tlsCa,omitempty"`
	Plaintext bool   `yaml:"plaintext,omitempty"`
	// Instance is the default of --instance.
	Instance string `yaml:"instance,omitempty"`
	// ClientID and ClientSecret get a new token when the last one ends; without
	// them Token is all there is.
	ClientID     string    `yaml:"clientId,omitempty"`
	ClientSecret string    `yaml:"clientSecret,omitempty"`
	Token        string    `yaml:"token,omitempty"`
	TokenEnds    time.Time `yaml:"tokenEnds,omitempty"`
}

func profilePath() (string, error) {
	if path := os.Getenv("CARILLON_PROFILE"); path != "" {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the profile: %w; set CARILLON_PROFILE to a file", err)
	}
	return filepath.Join(dir, "carillon", "client.yaml"), nil
}

// readProfile reads the profile; one that does not exist is empty. A profile
// that others can read is refused, since it holds secrets.
func readProfile() (profile, error) {
	path, err := profilePath()
	if err != nil {
		return profile{}, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return profile{}, nil
	}
	if err != nil {
		return profile{}, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return profile{}, usage("%s has mode %04o and others can read its secrets: chmod 600 it, and sign in anew if they should not have", path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return profile{}, err
	}
	var p profile
	if err := yaml.Unmarshal(text, &p); err != nil {
		return profile{}, usage("%s is damaged; carillon login writes it anew", path)
	}
	return p, nil
}

// write replaces the profile as a whole, so that a reader never sees half.
func (p profile) write() error {
	path, err := profilePath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".client-*.yaml") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(part.Name()) }()
	_, err = part.Write(text)
	if err := errors.Join(err, part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}
