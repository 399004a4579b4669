package job

// Mark puts on an object's metadata what Helm does when it applies the object of a release. Objects are compared with it, on
// either side.
func Mark(metadata map[string]any, release, namespace string) {
	put := func(field, key, value string) {
		entries, _ := metadata[field].(map[string]any)
		if entries == nil {
			entries = map[string]any{}
			metadata[field] = entries
		}
		entries[key] = value
	}
	put("labels", "app.kubernetes.io/managed-by", "Helm")
	put("annotations", "meta.helm.sh/release-name", release)
	put("annotations", "meta.helm.sh/release-namespace", namespace)
}
