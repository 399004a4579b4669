// Package config is fleetctl's configuration on disk: contexts in one file, a token a context in a folder beside it.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"sigs.k8s.io/yaml"
)

// APIVersion and Kind of the file.
const (
	APIVersion = "cli.flotilla.dev/v1alpha1"
	Kind       = "Config"
)

// Config is what the file holds. It never holds a token.
type Config struct {
	APIVersion     string    `json:"apiVersion"`
	Kind           string    `json:"kind"`
	CurrentContext string    `json:"currentContext,omitempty"`
	Contexts       []Context `json:"contexts"`
}

// Context is a hub and how one works with it.
type Context struct {
	Name string `json:"name"`
	// Hub is the address of its admin API, "host:port".
	Hub string `json:"hub,omitempty"`
	// CAPin is the SHA-256 of the public key of the hub's CA; empty: the machine's roots decide.
	CAPin string `json:"caPin,omitempty"`
	// Namespace is the one meant when none is named.
	Namespace string `json:"namespace,omitempty"`
}

// Path says where the file is: FLOTILLA_CONFIG, else $XDG_CONFIG_HOME/flotilla/config.yaml, else
// ~/.config/flotilla/config.yaml.
func Path(env func(string) string) (string, error) {
	if path := env("FLOTILLA_CONFIG"); path != "" {
		return path, nil
	}
	if dir := env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "flotilla", "config.yaml"), nil
	}
	home := env("HOME")
	if home == "" {
		return "", errors.New("none of FLOTILLA_CONFIG, XDG_CONFIG_HOME and HOME is set")
	}
	return filepath.Join(home, ".config", "flotilla", "config.yaml"), nil
}

// Load reads the file at path; one that is not there is an empty Config.
func Load(path string) (*Config, error) {
	c := &Config{APIVersion: APIVersion, Kind: Kind, Contexts: []Context{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.APIVersion != APIVersion || c.Kind != Kind {
		return nil, fmt.Errorf("%s: is %s of %s, not %s of %s", path, c.Kind, c.APIVersion, Kind, APIVersion)
	}
	for i, context := range c.Contexts {
		if err := CheckName(context.Name); err != nil {
			return nil, fmt.Errorf("%s: contexts[%d]: %w", path, i, err)
		}
	}
	return c, nil
}

// Save writes the file for its owner alone, whole or not at all.
func (c *Config) Save(path string) error {
	data, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	return writePrivate(path, data)
}

// Find returns the context of that name, or nil. What is changed through it is changed in c.
func (c *Config) Find(name string) *Context {
	i := slices.IndexFunc(c.Contexts, func(x Context) bool { return x.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Contexts[i]
}

// Ensure returns the context of that name, made if there is none. The first one becomes the current one.
func (c *Config) Ensure(name string) *Context {
	if found := c.Find(name); found != nil {
		return found
	}
	c.Contexts = append(c.Contexts, Context{Name: name})
	if c.CurrentContext == "" {
		c.CurrentContext = name
	}
	return &c.Contexts[len(c.Contexts)-1]
}

// Remove takes the context of that name out and reports whether there was one.
func (c *Config) Remove(name string) bool {
	before := len(c.Contexts)
	c.Contexts = slices.DeleteFunc(c.Contexts, func(x Context) bool { return x.Name == name })
	if c.CurrentContext == name {
		c.CurrentContext = ""
	}
	return len(c.Contexts) < before
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$`)

// CheckName refuses a context name that could not name a file too.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%q is not a context name: letters, digits and . _ @ - are", name)
	}
	return nil
}
