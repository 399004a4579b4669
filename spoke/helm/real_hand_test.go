package helm_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	helmaction "helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"flotilla.dev/flotilla/test/lab"
)

// hand is Helm in the hands of a person, who has never heard of Flotilla.
func (r *real) hand() *helmaction.Configuration {
	r.Helper()
	return r.handIn(r.namespace)
}

func (r *real) handIn(namespace string) *helmaction.Configuration {
	r.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	kubeconfig := r.cluster.Kubeconfig()
	cache := r.TempDir()
	flags.KubeConfig, flags.Namespace, flags.CacheDir = &kubeconfig, &namespace, &cache
	config := helmaction.NewConfiguration()
	if err := config.Init(flags, namespace, "secret"); err != nil {
		r.Fatal(err)
	}
	return config
}

// helms is what Helm says of the release, as "helm history": "vVERSION:status:chart version", the newest first.
func (r *real) helms() string {
	r.Helper()
	return r.helmsOf(r.namespace, "app")
}

func (r *real) helmsOf(storage, name string) string {
	r.Helper()
	all, err := r.handIn(storage).Releases.History(name)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		r.Fatal(err)
	}
	var versions []*releasev1.Release
	for _, one := range all {
		versions = append(versions, one.(*releasev1.Release))
	}
	slices.SortFunc(versions, func(a, b *releasev1.Release) int { return b.Version - a.Version })
	var words []string
	for _, v := range versions {
		words = append(words, fmt.Sprintf("v%d:%s:%s", v.Version, v.Info.Status, v.Chart.Metadata.Version))
	}
	return strings.Join(words, " ")
}

// has compares what Helm says, and that what is recorded of the same versions is the same.
func (l *live) has(history string) {
	l.Helper()
	is := l.helms()
	if is != history {
		l.Errorf("Helm has %q, want %q", is, history)
	}
	for _, s := range l.status().History {
		word := fmt.Sprintf("v%d:%s:%s", s.Version, s.Status, s.ChartVersion)
		if is != "" && !slices.Contains(strings.Fields(is), word) {
			l.Errorf("recorded is %s, and Helm has %q", word, is)
		}
	}
}

// byHand does what a person does with Helm.
func (r *real) byHand(action string, version int, values map[string]any) {
	r.Helper()
	config := r.hand()
	var err error
	switch action {
	case "install":
		install := helmaction.NewInstall(config)
		install.ReleaseName, install.Namespace, install.WaitStrategy = "app", r.namespace, kube.HookOnlyStrategy
		_, err = install.RunWithContext(r.Context(), r.chart(version), values)
	case "upgrade":
		upgrade := helmaction.NewUpgrade(config)
		upgrade.Namespace, upgrade.WaitStrategy = r.namespace, kube.HookOnlyStrategy
		upgrade.ServerSideApply, upgrade.ForceConflicts = "true", true
		_, err = upgrade.RunWithContext(r.Context(), "app", r.chart(version), values)
	case "rollback":
		rollback := helmaction.NewRollback(config)
		rollback.Version, rollback.WaitStrategy = version, kube.HookOnlyStrategy
		rollback.ServerSideApply, rollback.ForceConflicts = "true", true
		err = rollback.Run("app")
	case "uninstall", "uninstall --keep-history":
		uninstall := helmaction.NewUninstall(config)
		uninstall.KeepHistory, uninstall.WaitStrategy = action != "uninstall", kube.HookOnlyStrategy
		_, err = uninstall.Run("app")
	}
	if err != nil {
		r.Fatalf("%s by hand: %v", action, err)
	}
}

// chart is what target packs, of version "N.0.0", for a person.
func (r *real) chart(version int) any {
	r.Helper()
	packed, err := lab.PackChart(filesOf(fmt.Sprintf("%d.0.0", version), nil))
	if err != nil {
		r.Fatal(err)
	}
	loaded, err := loader.LoadArchive(strings.NewReader(string(packed.Archive)))
	if err != nil {
		r.Fatal(err)
	}
	return loaded
}

// leaves writes what an action of a Helm that is gone has left: another version, or the first, that is pending since a time.
func (r *real) leaves(status common.Status, since time.Time) {
	r.Helper()
	releases := r.hand().Releases
	last, err := releases.Last("app")
	if errors.Is(err, driver.ErrReleaseNotFound) {
		r.byHand("install", 1, nil)
		last, err = releases.Last("app")
	}
	if err != nil {
		r.Fatal(err)
	}
	left := *last.(*releasev1.Release)
	info := *left.Info
	left.Info = &info
	left.Info.LastDeployed = since
	left.SetStatus(status, "")
	if status == common.StatusPendingInstall {
		err = releases.Update(&left)
	} else {
		left.Version++
		err = releases.Create(&left)
	}
	if err != nil {
		r.Fatal(err)
	}
}
