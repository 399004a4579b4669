package build

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// overlay is the kustomization file at the top of a build: the directory's own, or one of what a scan finds, with the
// spec put into it as Flux does (fluxcd/pkg/kustomize, Generator). It is not an overlay in kustomize's sense: the spec
// replaces values of the file, and what it adds comes after the file's own, in the same step.
type overlay struct {
	dir, file     string
	kustomization types.Kustomization
	// own are the fields that the file itself sets; nil: there is no file.
	own []string
	// described is whether the spec says what objects are to say of their build.
	described bool
	// patches is how many of the last patches are the spec's.
	patches int
}

// noNamespace is what Flux names the namespace of a directory without anything in it: only components of the spec can
// have objects there.
const noNamespace = "_placeholder"

// prepare makes the directory one that kustomize can build.
func (t *tree) prepare(dir string, spec fleet.BuildSpec) (*overlay, error) {
	o, err := t.find(dir)
	if err != nil {
		return nil, err
	}
	scanned := o == nil
	if scanned {
		o = &overlay{dir: dir, file: path.Join(dir, konfig.DefaultKustomizationFileName())}
		if o.kustomization.Resources, err = t.scan(dir); err != nil {
			return nil, err
		}
	}
	switch isEmpty := len(o.kustomization.Resources) == 0; {
	case isEmpty && scanned:
		o.kustomization.Namespace = noNamespace
	case isEmpty:
		// Flux has kustomize say where objects come from when a file lists no resources, and leaves out what else the
		// file asks kustomize to say. An App that Flux hands over must not change.
		o.kustomization.BuildMetadata = []string{types.OriginAnnotations}
	}
	if err := t.overlay(o, spec); err != nil {
		return nil, err
	}
	return o, t.write(o, o.patches)
}

// find reads the kustomization file of the directory; nil: it has none.
func (t *tree) find(dir string) (*overlay, error) {
	for _, name := range kustomizationFiles {
		file := path.Join(dir, name)
		data, err := t.ReadFile(absolute(file))
		if errors.Is(err, fs.ErrNotExist) || t.IsDir(absolute(file)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		k, err := t.parse(file, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		t.topSize = int64(len(data))
		return &overlay{dir: dir, file: file, kustomization: *k, own: engine.FieldsOf(k)}, nil // if there are more, kustomize refuses them
	}
	return nil, nil
}

// overlay puts the spec into the kustomization file.
func (t *tree) overlay(o *overlay, spec fleet.BuildSpec) error {
	k := &o.kustomization
	k.APIVersion = cmp.Or(k.APIVersion, types.KustomizationVersion)
	k.Kind = cmp.Or(k.Kind, types.KustomizationKind)
	k.Namespace = cmp.Or(spec.TargetNamespace, k.Namespace)
	k.NamePrefix = cmp.Or(spec.NamePrefix, k.NamePrefix)
	k.NameSuffix = cmp.Or(spec.NameSuffix, k.NameSuffix)
	for _, patch := range spec.Patches {
		k.Patches = append(k.Patches, types.Patch{Patch: patch.Patch, Target: selector(patch.Target)})
	}
	o.patches = len(spec.Patches)
	for i, component := range spec.Components {
		r := reference{field: fmt.Sprintf("spec.components[%d]", i), value: component, base: true}
		at := path.Join(absolute(o.dir), component)
		if spec.IgnoreMissingComponents && !r.remote() && !path.IsAbs(component) && !t.Exists(at) {
			continue
		}
		err := t.refer(o.dir, r)
		if err == nil {
			err = t.confirmBase(at)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.field, err)
		}
		k.Components = append(k.Components, component)
	}
	k.Images = slices.Clone(k.Images)
	for _, image := range spec.Images {
		mergeImage(k, image)
	}
	if len(spec.BuildMetadata) > 0 {
		k.BuildMetadata, o.described = spec.BuildMetadata, true
	}
	return nil
}

// confirmBase says whether the path is a directory that a kustomization can include.
func (t *tree) confirmBase(name string) error {
	inside, _ := relative(name)
	if !t.IsDir(name) {
		return fmt.Errorf("%s: not a directory", inside)
	}
	if !slices.ContainsFunc(kustomizationFiles, func(file string) bool { return t.Exists(path.Join(name, file)) }) {
		return fmt.Errorf("%s: it has no kustomization file", inside)
	}
	return nil
}

// mergeImage changes the fields of the file's entry for the image that the spec sets. Tag and digest are one thing: they
// say which version, and a digest left beside a new tag would win over it.
func mergeImage(k *types.Kustomization, image fleet.Image) {
	i := slices.IndexFunc(k.Images, func(own types.Image) bool { return own.Name == image.Name })
	if i < 0 {
		k.Images = append(k.Images, types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
		return
	}
	own := &k.Images[i]
	own.NewName = cmp.Or(image.NewName, own.NewName)
	if image.NewTag != "" || image.Digest != "" {
		own.NewTag, own.Digest = image.NewTag, image.Digest
	}
}

func selector(target *fleet.PatchTarget) *types.Selector {
	if target == nil {
		return nil
	}
	s := &types.Selector{LabelSelector: target.LabelSelector, AnnotationSelector: target.AnnotationSelector}
	s.Group, s.Version, s.Kind = target.Group, target.Version, target.Kind
	s.Namespace, s.Name = target.Namespace, target.Name
	return s
}

// write has kustomize see the file, with the first so many patches of the spec.
func (t *tree) write(o *overlay, patches int) error {
	k := o.kustomization
	k.Patches = k.Patches[:len(k.Patches)-o.patches+patches]
	data, err := yaml.Marshal(k)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	t.files[o.file], t.overlaid = data, o.file
	t.parsed[o.file] = parsed{kustomization: &k}
	return nil
}

// maxBlame is the size of the input up to which a build is tried again to find what is wrong.
const maxBlame = 4 << 20

// blame names the patch of the spec that makes the build fail, if one does: kustomize names none.
func (t *tree) blame(o *overlay, err error) error {
	if o.patches == 0 || t.input > maxBlame || t.fails(o, 0) != nil {
		return err
	}
	low, high := 0, o.patches // with low patches the build goes well, with high it fails
	for high-low > 1 && t.failure == nil {
		middle := (low + high) / 2
		if failure := t.fails(o, middle); failure != nil {
			high, err = middle, failure
		} else {
			low = middle
		}
	}
	return fmt.Errorf("spec.patches[%d]: %w", high-1, err)
}

// fails returns the error of the build with the first so many patches of the spec.
func (t *tree) fails(o *overlay, patches int) error {
	if err := t.write(o, patches); err != nil {
		return err
	}
	_, err := t.run(o.dir)
	return err
}
