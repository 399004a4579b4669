package engine

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kustomization is a kustomization file as kustomize reads it. It is kept, and never changes.
type kustomization struct {
	types.Kustomization
	generators []generator
	// transforms is what its transformers are configured with, but for the files they read.
	transforms []byte
	// reads are the files that the transformers read, in the order in which they do.
	reads []string
}

// load reads the kustomization file of a directory.
func (b *build) load(dir filesys.ConfirmedDir) (*kustomization, string, error) {
	var file *blob
	name := ""
	for _, candidate := range konfig.RecognizedKustomizationFileNames() {
		found, is := b.files.open(dir.Join(candidate))
		switch {
		case is && file != nil:
			return nil, "", doubt("a directory with two kustomization files")
		case is:
			file, name = found, candidate
		}
	}
	if file == nil {
		return nil, "", doubt("a directory without kustomization file")
	}
	key := newKey("kustomization").digest(file.digest).sum()
	if known, is := cached[*kustomization](b.cache, key); is {
		return known, name, nil
	}
	data, err := file.content()
	if err != nil {
		return nil, "", err
	}
	k, err := b.readKustomization(data)
	if err != nil {
		return nil, "", err
	}
	b.cache.keep(key, k, int64(4*len(data)))
	return k, name, nil
}

func (b *build) readKustomization(data []byte) (*kustomization, error) {
	k := &kustomization{}
	if err := k.Unmarshal(data); err != nil {
		return nil, doubtOf(err, "a kustomization file that kustomize does not read")
	}
	k.FixKustomization()
	if err := k.CheckEmpty(); err != nil {
		return nil, doubtOf(err, "an empty kustomization file")
	}
	if len(k.EnforceFields()) > 0 {
		return nil, doubt("a kustomization file of an unknown version")
	}
	for _, field := range FieldsOf(&k.Kustomization) {
		if !Builds(field) {
			return nil, doubt("the field %s", field)
		}
	}
	for _, name := range k.Resources {
		if isAddress(name) || path.IsAbs(name) {
			return nil, doubt("a resource that is no relative path")
		}
	}
	var err error
	if k.generators, err = generators(&k.Kustomization); err != nil {
		return nil, err
	}
	if k.transforms, err = yaml.Marshal(transforms(&k.Kustomization)); err != nil {
		return nil, doubtOf(err, "a kustomization file that cannot be written")
	}
	k.reads = b.reads(&k.Kustomization)
	return k, nil
}

// transforms is the part of a kustomization that configures transformers.
func transforms(k *types.Kustomization) types.Kustomization {
	return types.Kustomization{
		Namespace: k.Namespace, NamePrefix: k.NamePrefix, NameSuffix: k.NameSuffix, Labels: k.Labels, CommonAnnotations: k.CommonAnnotations,
		//lint:ignore SA1019 what is deprecated still acts
		CommonLabels: k.CommonLabels, PatchesStrategicMerge: k.PatchesStrategicMerge, PatchesJson6902: k.PatchesJson6902,
		Patches: k.Patches, Replicas: k.Replicas, Images: k.Images, Replacements: k.Replacements,
	}
}

func (b *build) reads(k *types.Kustomization) []string {
	var files []string
	add := func(file string) {
		if file != "" {
			files = append(files, file)
		}
	}
	//lint:ignore SA1019 what is deprecated still acts
	for _, patch := range k.PatchesStrategicMerge {
		if _, err := b.factory.SliceFromBytes([]byte(patch)); err != nil { // kustomize takes it for a path then
			add(string(patch))
		}
	}
	for _, patch := range k.Patches {
		add(patch.Path)
	}
	//lint:ignore SA1019 what is deprecated still acts
	for _, patch := range k.PatchesJson6902 {
		add(patch.Path)
	}
	for _, replacement := range k.Replacements {
		add(replacement.Path)
	}
	return files
}

// generator is the configuration of a generator of one object.
type generator struct {
	kind     string
	behavior types.GenerationBehavior
	config   []byte
	files    []string
}

// CutSource cuts what a generator names in its files into a key and the path of a file, which is the key where none is
// given.
func CutSource(source string) (key, file string) {
	key, file, keyed := strings.Cut(source, "=")
	if !keyed {
		file = source
	}
	return key, file
}

func generators(k *types.Kustomization) ([]generator, error) {
	var all []generator
	add := func(kind string, args types.GeneratorArgs, config any) error {
		data, err := yaml.Marshal(config)
		if err != nil {
			return doubtOf(err, "a generator that cannot be written")
		}
		g := generator{kind: kind, behavior: types.NewGenerationBehavior(args.Behavior), config: data}
		g.files = append(g.files, args.EnvSources...)
		for _, source := range args.FileSources {
			_, file := CutSource(source)
			g.files = append(g.files, file)
		}
		all = append(all, g)
		return nil
	}
	for _, args := range k.ConfigMapGenerator {
		args.Options = types.MergeGlobalOptionsIntoLocal(args.Options, k.GeneratorOptions)
		if err := add("ConfigMapGenerator", args.GeneratorArgs, struct{ types.ConfigMapArgs }{args}); err != nil {
			return nil, err
		}
	}
	for _, args := range k.SecretGenerator {
		args.Options = types.MergeGlobalOptionsIntoLocal(args.Options, k.GeneratorOptions)
		if err := add("SecretGenerator", args.GeneratorArgs, struct{ types.SecretArgs }{args}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// below returns the directory that a resource or component names, as kustomize's loader does.
func (b *build) below(from []filesys.ConfirmedDir, name string) (filesys.ConfirmedDir, error) {
	if name == "" || path.IsAbs(name) || isAddress(name) || isRepository(name) {
		return "", doubt("a base that is no relative path")
	}
	for _, part := range strings.Split(name, "/") {
		if part != "" && part != "." && part != ".." && strings.Contains(part, "..") {
			return "", doubt("a path with dots in a name")
		}
	}
	here := from[len(from)-1]
	dir, err := filesys.ConfirmDir(b.files.fsys, here.Join(name))
	if err != nil {
		return "", doubtOf(err, "a resource or component that is not there")
	}
	for _, above := range from {
		if above.HasPrefix(dir) {
			return "", doubtOf(fmt.Errorf("%s refers to %s", above, dir), "a base that is being built")
		}
	}
	return dir, nil
}
