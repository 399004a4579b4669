// Package encode prints a Kubernetes object as kustomize does, without the way that kustomize takes: it writes the object
// as YAML, reads that, writes it as JSON, reads that and writes it as YAML again. The bytes that come out follow from the
// object directly, and [Document] writes those.
//
// What the rules of that way make of rare things (anchors, custom tags, timestamps, numbers in odd notation, some
// comments, control characters) is not reproduced. Document then says that it is not sure, and the caller asks kustomize.
package encode
