package sdk

import (
	"bytes"
	"errors"
	"fmt"

	helm "helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/release"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/runtime"

	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// render answers what an upgrade would apply, or an install where there is no release, and what the newest version has.
// Templates can look at the cluster; nothing is changed.
func (a *action) render() error {
	config, loaded, err := a.ready()
	if err != nil {
		return err
	}
	newest, err := last(config, a.job.Release)
	none := errors.Is(err, driver.ErrNoDeployedReleases)
	if err != nil && !none {
		return err
	}
	hiding := a.prepared.values.secrets
	var made release.Releaser
	if none {
		install := a.newInstall(config)
		install.DryRunStrategy = helm.DryRunServer
		if err := a.checkSchemas(loaded, install.SkipSchemaValidation); err != nil {
			return err
		}
		made, err = install.RunWithContext(a.rendering(), loaded, copied(a.prepared.values.merged))
	} else {
		hiding = hiding.collect(newest.Config, a.prepared.values.shown) // the values may have been others
		if a.answer.Before, err = a.objects(config, newest, hiding); err != nil {
			return err
		}
		if newest.Info.Status.IsPending() {
			newest.Info.Status = "failed" // as it will be when it is unlocked
			config.Releases.Driver = &instead{config.Releases.Driver, newest}
		}
		upgrade, upgradeErr := a.newUpgrade(config)
		if upgradeErr != nil {
			return upgradeErr
		}
		upgrade.DryRunStrategy = helm.DryRunServer
		if err := a.checkSchemas(loaded, upgrade.SkipSchemaValidation); err != nil {
			return err
		}
		made, err = upgrade.RunWithContext(a.rendering(), a.job.Release, loaded, copied(a.prepared.values.merged))
	}
	if err != nil {
		return err
	}
	version, is := made.(*releasev1.Release)
	if !is {
		return errForeign
	}
	if a.answer.Objects, err = a.objects(config, version, hiding); err != nil {
		return err
	}
	a.answer.Keys, err = a.keys(loaded)
	return err
}

// objects are those of a version, as Helm applies them: with its labels and annotations, and their namespaces.
func (a *action) objects(config *helm.Configuration, version *releasev1.Release, hiding secrets) (out [][]byte, err error) {
	built, err := config.KubeClient.Build(bytes.NewBufferString(version.Manifest), false)
	if err != nil {
		return nil, err
	}
	for _, info := range built {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(info.Object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", info.ObjectName(), err)
		}
		owned(content, version, info.Namespace)
		if !a.request.Reveal {
			content = hide(content, hiding).(map[string]any)
		}
		document, err := manifest.Canonical(content)
		if err != nil {
			return nil, err
		}
		out = append(out, document)
	}
	return out, nil
}

// owned puts on an object what Helm does when it applies it.
func owned(content map[string]any, version *releasev1.Release, namespace string) {
	metadata, _ := content["metadata"].(map[string]any)
	if metadata == nil {
		return
	}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	job.Mark(metadata, version.Name, version.Namespace)
}

// hide masks values of Secrets in all texts of an object. Those of Secret objects are the reader's to mask: they may be of
// the template's own making.
func hide(value any, hiding secrets) any {
	switch v := value.(type) {
	case map[string]any:
		for name, item := range v {
			v[name] = hide(item, hiding)
		}
	case []any:
		for i, item := range v {
			v[i] = hide(item, hiding)
		}
	case string:
		return hiding.mask(v)
	case nil, bool:
	default:
		if text := fmt.Sprint(v); hiding.mask(text) != text {
			return hiding.mask(text)
		}
	}
	return value
}

// instead is a storage in which one version is another.
type instead struct {
	driver.Driver
	version *releasev1.Release
}

func (i *instead) Query(labels map[string]string) ([]release.Releaser, error) {
	all, err := i.Driver.Query(labels)
	for n, one := range all {
		if version, is := one.(*releasev1.Release); is && version.Version == i.version.Version {
			all[n] = i.version
		}
	}
	return all, err
}
