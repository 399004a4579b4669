package sdk

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	helm "helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/resource"

	"flotilla.dev/flotilla/pkg/fleet"
)

// crds says how what a chart has in crds/ is applied.
type crds struct {
	policy     string
	serverSide bool
	strategy   kube.WaitStrategy
}

// definedWithin is how long the API server may take to serve what a CRD defines.
const definedWithin = time.Minute

// applyCRDs applies the CRDs of a chart and of those in it that the values enable: Create leaves those that exist,
// CreateReplace replaces them, Skip applies none. Nothing is deleted. What is no CRD is left out: the directory is for
// CRDs alone.
func (a *action) applyCRDs(config *helm.Configuration, loaded *chart.Chart, c crds) error {
	c.policy = cmp.Or(c.policy, defaultPolicy)
	if c.policy == "Skip" || len(loaded.CRDObjects()) == 0 {
		return nil
	}
	if err := util.ProcessDependencies(loaded, copied(a.prepared.values.merged)); err != nil {
		return fmt.Errorf("dependencies of the chart: %w", err)
	}
	var all kube.ResourceList
	for _, file := range loaded.CRDObjects() {
		objects, err := config.KubeClient.Build(bytes.NewReader(file.File.Data), false)
		if err != nil {
			return fmt.Errorf("%w: the chart's %s: %w", fleet.ErrInvalid, file.Filename, err)
		}
		for _, object := range objects {
			if gvk := object.Mapping.GroupVersionKind; gvk.Group == "apiextensions.k8s.io" && gvk.Kind == "CustomResourceDefinition" {
				all = append(all, object)
			}
		}
	}
	if err := all.Visit(a.mark); err != nil {
		return err
	}
	var applied kube.ResourceList
	for i, crd := range all {
		one, err := a.applyCRD(config, all[i:i+1], c)
		if err != nil {
			return fmt.Errorf("CustomResourceDefinition/%s: %w", crd.Name, err)
		}
		applied = append(applied, one...)
	}
	if len(applied) == 0 {
		return nil
	}
	if c.strategy == kube.HookOnlyStrategy {
		c.strategy = kube.StatusWatcherStrategy // without them the objects that follow cannot be applied
	}
	waiter, err := config.KubeClient.GetWaiter(c.strategy)
	if err == nil {
		err = waiter.Wait(applied, definedWithin)
	}
	if err != nil {
		return fmt.Errorf("wait for CustomResourceDefinitions: %w", err)
	}
	mapper, err := config.RESTClientGetter.ToRESTMapper()
	if err != nil {
		return err
	}
	meta.MaybeResetRESTMapper(mapper) // it does not know the new kinds
	return nil
}

// applyCRD applies one, and returns it unless it was left as it is.
func (a *action) applyCRD(config *helm.Configuration, one kube.ResourceList, c crds) (kube.ResourceList, error) {
	existing, err := existing(one[0])
	if err != nil {
		return nil, err
	}
	switch {
	case existing == nil:
		result, err := config.KubeClient.Create(one, kube.ClientCreateOptionServerSideApply(c.serverSide, c.serverSide))
		if apierrors.IsAlreadyExists(err) && c.policy == defaultPolicy {
			return nil, nil // since just now
		}
		if err != nil {
			return nil, err
		}
		return result.Created, nil
	case c.policy == defaultPolicy:
		return nil, nil
	}
	options := []kube.ClientUpdateOption{kube.ClientUpdateOptionServerSideApply(c.serverSide, c.serverSide)}
	if !c.serverSide {
		options = append(options, kube.ClientUpdateOptionForceReplace(true))
	}
	result, err := config.KubeClient.Update(kube.ResourceList{existing}, one, options...)
	if err != nil {
		return nil, err
	}
	return append(result.Created, result.Updated...), nil
}

// existing is an object as it is in the cluster; nil: it is not.
func existing(info *resource.Info) (*resource.Info, error) {
	live := *info
	err := live.Get()
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return &live, err
}

// mark labels an object as the App's.
func (a *action) mark(info *resource.Info, err error) error {
	if err != nil {
		return err
	}
	accessor := meta.NewAccessor()
	marked, err := accessor.Labels(info.Object)
	if err != nil {
		return err
	}
	if marked == nil {
		marked = map[string]string{}
	}
	for key, value := range a.origin() {
		marked[key] = value
	}
	return accessor.SetLabels(info.Object, marked)
}
