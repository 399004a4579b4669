package sdk

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// originLabels say whose an object is, with the App's namespace and name.
const (
	originName      = "helm.toolkit.fluxcd.io/name"
	originNamespace = "helm.toolkit.fluxcd.io/namespace"
)

// postRenderer does to what a chart has rendered what the spec and the Placement say, and marks it as the App's: in this
// order, so that no common metadata takes the mark away.
type postRenderer struct {
	renderers []flux.HelmPostRenderer
	spec      int // of them are the spec's own; the last is the Placement's
	common    *fleet.CommonMetadata
	origin    map[string]string
}

func (a *action) postRenderer() *postRenderer {
	return &postRenderer{
		renderers: a.postRenderers(), spec: len(a.job.Plan.Spec.PostRenderers), common: a.job.Plan.Spec.CommonMetadata, origin: a.origin(),
	}
}

func (a *action) origin() map[string]string {
	return map[string]string{originName: a.job.App.Name, originNamespace: a.job.App.Namespace}
}

// kustomizing is held while kustomize works: it keeps the schema of Kubernetes in a global.
var kustomizing sync.Mutex

// Run implements postrenderer.PostRenderer.
func (p *postRenderer) Run(rendered *bytes.Buffer) (_ *bytes.Buffer, err error) {
	kustomizing.Lock()
	defer kustomizing.Unlock()
	content := rendered.Bytes()
	for i, renderer := range p.renderers {
		if renderer.Kustomize == nil {
			continue
		}
		if content, err = kustomize(content, *renderer.Kustomize); err != nil {
			field := fmt.Sprintf("spec.postRenderers[%d]", i)
			if i >= p.spec {
				field = "the Placement's patches"
			}
			return nil, &postRenderError{field, err}
		}
	}
	all, err := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory()).NewResMapFromBytes(content)
	if err == nil {
		err = p.mark(all)
	}
	if err == nil {
		content, err = all.AsYaml()
	}
	if err != nil {
		return nil, &postRenderError{"the labels of its objects", err}
	}
	return bytes.NewBuffer(content), nil
}

// mark puts the common metadata on objects, and the mark of the App over it.
func (p *postRenderer) mark(all resmap.ResMap) error {
	for _, object := range all.Resources() {
		labels := object.GetLabels()
		if p.common != nil {
			maps.Copy(labels, p.common.Labels)
			if annotations := object.GetAnnotations(); len(p.common.Annotations) > 0 {
				maps.Copy(annotations, p.common.Annotations)
				if err := object.SetAnnotations(annotations); err != nil {
					return err
				}
			}
		}
		maps.Copy(labels, p.origin)
		if err := object.SetLabels(labels); err != nil {
			return err
		}
	}
	return nil
}

// postRenderError says which of the post-renderers failed; what kustomize says of it may show an object.
type postRenderError struct {
	field string
	err   error
}

func (e *postRenderError) Error() string { return e.field + ": " + e.err.Error() }
func (e *postRenderError) Unwrap() error { return e.err }

// kustomize applies patches and images. No plugin runs, and there are no files but those of ours.
func kustomize(content []byte, k flux.HelmKustomize) ([]byte, error) {
	const input = "rendered.yaml"
	kustomization := types.Kustomization{
		TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources: []string{input},
	}
	for _, image := range k.Images {
		kustomization.Images = append(kustomization.Images, types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
	}
	for _, patch := range k.Patches {
		kustomization.Patches = append(kustomization.Patches, types.Patch{Patch: patch.Patch, Target: target(patch.Target)})
	}
	text, err := yaml.Marshal(kustomization)
	if err != nil {
		return nil, err
	}
	files := filesys.MakeFsInMemory()
	if err := errors.Join(files.WriteFile(input, content), files.WriteFile("kustomization.yaml", text)); err != nil {
		return nil, err
	}
	built, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsRootOnly, PluginConfig: types.DisabledPluginConfig(),
	}).Run(files, ".")
	if err != nil {
		return nil, err
	}
	return built.AsYaml()
}

func target(t *fleet.PatchTarget) *types.Selector {
	if t == nil {
		return nil
	}
	return &types.Selector{
		ResId:              resid.NewResIdWithNamespace(resid.NewGvk(t.Group, t.Version, t.Kind), t.Name, t.Namespace),
		LabelSelector:      t.LabelSelector,
		AnnotationSelector: t.AnnotationSelector,
	}
}
