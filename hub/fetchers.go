package hub

import (
	"fmt"
	"os"
	"path/filepath"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/resource"
)

// fetchers are what brings Sources, by kind, and what packages charts.
func fetchers(config Config, fleet *store.Store, network *source.Network, metrics *source.Metrics, mirrors *git.Git) (source.Kinds, *helm.Helm, error) {
	trusted, err := trustedRoot(config)
	if err != nil {
		return nil, nil, err
	}
	registries, err := oci.New(oci.Config{
		Network: network, Dir: filepath.Join(config.DataDir, "layers"), Store: fleet.Blobs(), Metrics: metrics, TrustedRoot: trusted, Log: config.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	buckets, err := bucket.New(bucket.Config{Store: fleet.Blobs(), Network: network, Metrics: metrics, Log: config.Log})
	if err != nil {
		return nil, nil, err
	}
	charts, err := helm.New(helm.Config{Dir: filepath.Join(config.DataDir, "indexes"), Store: fleet.Blobs(), Network: network, Registry: registries, Metrics: metrics})
	if err != nil {
		return nil, nil, err
	}
	return source.Kinds{
		resource.GitRepository.Name: mirrors, resource.OCIRepository.Name: registries, resource.Bucket.Name: buckets,
		resource.HelmRepository.Name: charts.Repositories(), resource.HelmChart.Name: charts.Charts(),
	}, charts, nil
}

// trustedRoot is whom keyless signatures are trusted by; nil: nobody, where a Source does not say.
func trustedRoot(config Config) ([]byte, error) {
	if config.TrustedRootFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(config.TrustedRootFile)
	if err != nil {
		return nil, fmt.Errorf("--trusted-root: %w", err)
	}
	return data, nil
}
