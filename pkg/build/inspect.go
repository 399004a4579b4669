package build

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/build/engine"
)

// inspect checks a kustomization file before kustomize acts on it: it may refer only to what is in the tree, and may
// run nothing.
func (t *tree) inspect(file string, data []byte) error {
	k, err := t.parse(file, data)
	if err != nil {
		return nil // kustomize says what is wrong with it, and does nothing it says
	}
	if len(k.HelmCharts) > 0 || len(k.HelmChartInflationGenerator) > 0 || k.HelmGlobals != nil {
		return errors.New("helmCharts: charts are not rendered in a kustomization; use a HelmRelease")
	}
	t.schemaChanged = t.schemaChanged || len(k.OpenAPI) > 0
	for _, f := range references(k) {
		if err := t.refer(path.Dir(file), f); err != nil {
			return fmt.Errorf("%s: %w", f.field, err)
		}
		if f.plugin {
			if err := t.inspectPlugin(path.Dir(file), f.value); err != nil {
				return fmt.Errorf("%s: %w", f.field, err)
			}
		}
	}
	return nil
}

// reference is a value of a kustomization file that names a file or a directory.
type reference struct {
	field, value string
	// base values may be directories, which kustomize also takes from repositories.
	base bool
	// inline values may be YAML instead of a path.
	inline bool
	// plugin values are, or name, configurations of generators and transformers.
	plugin bool
}

// references returns every reference of a kustomization file: whatever kustomize's loader is asked for.
func references(k *types.Kustomization) []reference {
	var out []reference
	add := func(field string, values ...string) {
		for _, value := range values {
			if value != "" {
				out = append(out, reference{field: field, value: value})
			}
		}
	}
	bases := func(field string, values []string) {
		for _, value := range values {
			out = append(out, reference{field: field, value: value, base: true})
		}
	}
	plugins := func(field string, values []string) {
		for _, value := range values {
			out = append(out, reference{field: field, value: value, base: true, inline: true, plugin: true})
		}
	}
	bases("resources", k.Resources)
	//lint:ignore SA1019 what is deprecated still acts
	bases("bases", k.Bases)
	bases("components", k.Components)
	add("crds", k.Crds...)
	add("configurations", k.Configurations...)
	add("openapi.path", k.OpenAPI["path"])
	sources := func(field string, args types.KvPairSources) {
		for _, file := range args.FileSources {
			_, name := engine.CutSource(file)
			add(field+".files", name)
		}
		add(field+".envs", args.EnvSources...)
		add(field+".env", args.EnvSource)
	}
	for _, args := range k.ConfigMapGenerator {
		sources("configMapGenerator", args.KvPairSources)
	}
	for _, args := range k.SecretGenerator {
		sources("secretGenerator", args.KvPairSources)
	}
	for _, patch := range k.Patches {
		add("patches.path", patch.Path)
	}
	//lint:ignore SA1019 what is deprecated still acts
	for _, patch := range k.PatchesJson6902 {
		add("patchesJson6902.path", patch.Path)
	}
	for _, replacement := range k.Replacements {
		add("replacements.path", replacement.Path)
	}
	//lint:ignore SA1019 what is deprecated still acts
	for _, patch := range k.PatchesStrategicMerge {
		out = append(out, reference{field: "patchesStrategicMerge", value: string(patch), inline: true})
	}
	plugins("generators", k.Generators)
	plugins("transformers", k.Transformers)
	plugins("validators", k.Validators)
	return out
}

// What kustomize takes for an address: of a file (IsRemoteFile of its loader), and of a repository (its package git).
var (
	remoteFile = regexp.MustCompile(`(?i)^\s*(https?:|[a-z0-9+.-]*://)`)
	remoteBase = regexp.MustCompile(`(?i)^\s*(git::|gh:|[a-z][a-z0-9-]*@[^:/]*[:/]|github\.com[/:])`)
)

// remote reports whether kustomize could take the value for an address.
func (r reference) remote() bool {
	return remoteFile.MatchString(r.value) || r.base && remoteBase.MatchString(r.value) ||
		!(r.inline && isInline(r.value)) && strings.Contains(r.value, "://")
}

// refer checks that a value leads to something in the tree.
func (t *tree) refer(dir string, r reference) error {
	switch {
	case r.remote():
		return fmt.Errorf("%s: remote bases and files are not allowed; keep a copy in the source", short(r.value))
	case r.inline && isInline(r.value):
		return nil
	case path.IsAbs(r.value):
		return fmt.Errorf("%s: absolute paths are not allowed", short(r.value))
	}
	target := path.Join(absolute(dir), r.value)
	if _, inside := relative(target); !inside {
		return fmt.Errorf("%s: it is outside of the source", short(r.value))
	}
	if !t.Exists(target) && t.failure == nil {
		return fmt.Errorf("%s: no such file or directory", short(r.value))
	}
	return nil
}

// inspectPlugin checks the configurations of generators, transformers and validators. They are read as they stand, so
// a directory, whose kustomization file could still change them, is not accepted.
func (t *tree) inspectPlugin(dir, value string) error {
	data := []byte(value)
	if !isInline(value) {
		name := path.Join(absolute(dir), value)
		if t.IsDir(name) {
			return fmt.Errorf("%s: a directory is not supported here; list its files", short(value))
		}
		var err error
		if data, err = t.ReadFile(name); err != nil {
			return err
		}
	}
	configs, err := pluginConfigs(data)
	if err != nil {
		return fmt.Errorf("%s: %w", short(value), err)
	}
	for _, config := range configs {
		switch {
		case config.apiVersion != "builtin":
			return fmt.Errorf("%s: plugin %s is a program; only kustomize's own plugins run", short(value), config.kind)
		case config.kind == "HelmChartInflationGenerator":
			return fmt.Errorf("%s: charts are not rendered in a kustomization; use a HelmRelease", short(value))
		}
		for _, name := range pathsIn(config.object, false) {
			if remoteFile.MatchString(name) || remoteFile.MatchString(afterKey(name)) {
				return fmt.Errorf("%s: %s: remote files are not allowed", config.kind, short(name))
			}
		}
	}
	return nil
}

// pluginConfig is the configuration of a generator, transformer or validator.
type pluginConfig struct {
	apiVersion, kind string
	object           map[string]any
}

func pluginConfigs(data []byte) ([]pluginConfig, error) {
	resources, err := provider.NewDefaultDepProvider().GetResourceFactory().SliceFromBytes(data)
	if err != nil {
		return nil, errors.New(tidy(err.Error()))
	}
	var out []pluginConfig
	for _, r := range resources {
		object, err := r.Map()
		if err != nil {
			return nil, err
		}
		out = append(out, pluginConfig{r.GetApiVersion(), r.GetKind(), object})
	}
	return out, nil
}

// pathFields are the fields of kustomize's own plugins that name files.
var pathFields = map[string]bool{"path": true, "paths": true, "files": true, "envs": true, "env": true, "file": true}

// pathsIn returns the values of the configuration's fields that name files, some with a key before them.
func pathsIn(value any, isPath bool) []string {
	var out []string
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = append(out, pathsIn(v[key], isPath || pathFields[strings.ToLower(key)])...)
		}
	case []any:
		for _, child := range v {
			out = append(out, pathsIn(child, isPath)...)
		}
	case string:
		if isPath {
			out = append(out, v)
		}
	}
	return out
}

// afterKey is the file of key=file.
func afterKey(value string) string {
	_, name, _ := strings.Cut(value, "=")
	return name
}

// isInline reports whether a value that may be YAML or a path is YAML.
func isInline(value string) bool {
	var content any
	if err := yaml.Unmarshal([]byte(value), &content); err != nil {
		return strings.Contains(value, "\n")
	}
	_, isPath := content.(string)
	return !isPath
}

// short is a value as an error shows it.
func short(value string) string {
	value, _, _ = strings.Cut(strings.TrimSpace(value), "\n")
	if len(value) > 200 {
		value = value[:200] + "..."
	}
	// The name and password of an address are nobody's business.
	return userinfo.ReplaceAllString(value, "$1")
}

var userinfo = regexp.MustCompile(`^((?:git::)?[a-zA-Z0-9+.-]*://)[^/@]*@`)
