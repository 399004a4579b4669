package source

// Field is the path of a field below "spec", as who reads an error finds it: what a chart is fetched by is named by its
// HelmRepository, but for whom its signatures are trusted by.
func (u Upstream) Field(path string) string {
	if u.Kind == "HelmChart" && path != "verify.secretRef" {
		return "spec." + path + " of its HelmRepository"
	}
	return "spec." + path
}
