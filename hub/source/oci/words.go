package oci

import "flotilla.dev/flotilla/hub/source"

// words are those of errors that depend on what a repository is asked for. See source.Upstream.Field, too.
type words struct {
	// ref is the field that says which of the repository's artifacts is meant, naming how to do without a list of its tags.
	ref, naming string
	// login is what a Secret is to be that has one.
	login string
	// selecting is who wants a layer of a media type.
	selecting string
}

func wordsOf(u source.Upstream) words {
	if u.Kind == "HelmChart" {
		return words{
			ref: "spec.version", naming: "name one version, and no range, in spec.version",
			login: "with username and password, or of type kubernetes.io/dockerconfigjson,", selecting: "a chart's",
		}
	}
	return words{
		ref: "spec.ref", naming: "name a tag or a digest in spec.ref",
		login: "of type kubernetes.io/dockerconfigjson", selecting: "spec.layerSelector",
	}
}
