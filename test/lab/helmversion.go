package lab

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"helm.sh/helm/v4/pkg/release"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// HelmVersion is one version of a release, as Helm reads it.
type HelmVersion struct {
	Version     int
	Status      string
	Chart       string // NAME-VERSION
	Description string
	Values      map[string]any
}

// HelmVersions are what Helm has stored of a release, the newest first: all that "helm history" has to go by. A Secret that
// Helm cannot read, and would pass over, is an error.
func (c *Cluster) HelmVersions(ctx context.Context, namespace, name string) ([]HelmVersion, error) {
	client, err := kubernetes.NewForConfig(c.REST())
	if err != nil {
		return nil, err
	}
	secrets := client.CoreV1().Secrets(namespace)
	list, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + name})
	if err != nil {
		return nil, err
	}
	var versions []HelmVersion
	for _, secret := range list.Items {
		read, err := driver.NewSecrets(secrets).Get(secret.Name)
		if err != nil {
			return nil, fmt.Errorf("release Secret %s/%s: %w", namespace, secret.Name, err)
		}
		version, err := helmVersion(read)
		if err != nil {
			return nil, fmt.Errorf("release Secret %s/%s: %w", namespace, secret.Name, err)
		}
		versions = append(versions, version)
	}
	slices.SortFunc(versions, func(a, b HelmVersion) int { return cmp.Compare(b.Version, a.Version) })
	return versions, nil
}

func helmVersion(read release.Releaser) (HelmVersion, error) {
	r, is := read.(*releasev1.Release)
	if !is || r.Info == nil || r.Chart == nil || r.Chart.Metadata == nil {
		return HelmVersion{}, fmt.Errorf("it is a %T, or not whole", read)
	}
	return HelmVersion{
		Version: r.Version, Status: string(r.Info.Status), Description: r.Info.Description, Values: r.Config,
		Chart: r.Chart.Metadata.Name + "-" + r.Chart.Metadata.Version,
	}, nil
}
