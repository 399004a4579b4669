package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/provenance"
	"sigs.k8s.io/yaml"
)

// Chart is a packaged chart of Helm.
type Chart struct {
	Name, Version string
	// Metadata is its Chart.yaml.
	Metadata []byte
	// Archive is what "helm package" writes.
	Archive []byte
	// Provenance is the signed .prov file; empty: none.
	Provenance string
}

// File is the name of its archive.
func (c *Chart) File() string { return c.Name + "-" + c.Version + ".tgz" }

// PackChart packages a chart's files, content by path: Chart.yaml, values.yaml, templates/..., charts/....
func PackChart(files map[string]string) (*Chart, error) {
	var buffered []*archive.BufferedFile
	for _, path := range slices.Sorted(maps.Keys(files)) {
		buffered = append(buffered, &archive.BufferedFile{Name: path, Data: []byte(files[path])})
	}
	loaded, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("pack chart: %w", err)
	}
	return pack(loaded)
}

// PackChartDir packages the chart in a directory.
func PackChartDir(dir string) (*Chart, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(relative)] = string(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	return PackChart(files)
}

func pack(loaded *chart.Chart) (_ *Chart, err error) {
	dir, err := os.MkdirTemp("", "flotilla-lab-chart-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file, err := util.Save(loaded, dir)
	if err != nil {
		return nil, fmt.Errorf("pack chart: %w", err)
	}
	packed, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	metadata, err := yaml.Marshal(loaded.Metadata)
	return &Chart{Name: loaded.Name(), Version: loaded.Metadata.Version, Metadata: metadata, Archive: packed}, err
}

// SimpleChart packages a chart with one ConfigMap, whose data is a value.
func SimpleChart(name, version, value string) (*Chart, error) {
	return PackChart(map[string]string{
		"Chart.yaml":  fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version),
		"values.yaml": fmt.Sprintf("value: %q\n", value),
		"templates/configmap.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n" +
			"data: {value: {{ .Values.value | quote }}}\n",
	})
}

// Sign makes the provenance of a chart.
func (c *Chart) Sign(key *PGPKey) error {
	signed, err := (&provenance.Signatory{Entity: key.entity}).ClearSign(c.Archive, c.File(), c.Metadata)
	c.Provenance = signed
	return err
}

// Artifact is the chart as a registry holds it.
func (c *Chart) Artifact() (OCIArtifact, error) {
	config, err := yaml.YAMLToJSON(c.Metadata)
	a := OCIArtifact{
		ConfigMediaType: HelmConfig, Config: string(config),
		Layers: []OCILayer{{MediaType: HelmChart, Content: c.Archive}},
		Annotations: map[string]string{
			"org.opencontainers.image.title": c.Name, "org.opencontainers.image.version": c.Version,
		},
	}
	if c.Provenance != "" {
		a.Layers = append(a.Layers, OCILayer{MediaType: HelmProv, Content: []byte(c.Provenance)})
	}
	return a, err
}
