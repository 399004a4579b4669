package source

// Chart is a packaged chart.
type Chart struct {
	// Name and Version are those of its Chart.yaml.
	Name, Version string
	// Archive is the package: a .tgz as Helm makes one.
	Archive []byte
}
