package oci_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/flux"
)

func FuzzManifestAndLayer(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{"mediaType":"a/b","digest":"sha256:00","size":1}],"annotations":{"a":"b"}}`), "", "a/b")
	f.Add([]byte(`{"manifests":[{"platform":{"os":"linux","architecture":"arm64"}},{}]}`), "application/vnd.oci.image.index.v1+json; charset=utf-8", "")
	f.Add([]byte(`{"layers":[{"mediaType":"\u0000`+strings.Repeat("x", 300)+`"}]}`), "application/vnd.docker.distribution.manifest.v2+json", "none")
	f.Fuzz(func(t *testing.T, raw []byte, contentType, mediaType string) {
		m, err := oci.ParseManifest(raw, contentType)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		d, err := oci.Layer(m, &flux.LayerSelector{MediaType: mediaType})
		if err == nil && mediaType != "" && d.MediaType != mediaType {
			t.Errorf("layer %q was chosen for %q", d.MediaType, mediaType)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("the error %q has control characters", err)
		}
		if d, err := oci.Platform(m); err == nil && d.Platform != nil && d.Platform.Architecture != "amd64" {
			t.Errorf("platform %v was chosen", d.Platform)
		}
		size := 0
		for key, value := range oci.Metadata(m) {
			size += len(key) + len(value)
		}
		if size > 16<<10 {
			t.Errorf("%d bytes of annotations", size)
		}
	})
}

func FuzzDockerConfig(f *testing.F) {
	f.Add([]byte(`{"auths":{"registry.example.com":{"auth":"YW5uYTpjYW5hcnk="}}}`), "registry.example.com", "apps/podinfo")
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"username":"canary","password":"canary"}}}`), "index.docker.io", "library/a")
	f.Add([]byte(`{"auths":{"":{"auth":"canary"},"/":{},"a//b":{}}}`), "", "")
	f.Fuzz(func(t *testing.T, data []byte, host, repository string) {
		found, err := oci.ParseDockerConfig(data, host, repository)
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error %q has what is secret", err)
		}
		if found && !strings.Contains(string(data), "auths") && !strings.Contains(strings.ToLower(string(data)), "auths") {
			t.Errorf("an entry was found in %q", data)
		}
	})
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://auth.example.com/token",service="a, b",scope="x"`)
	f.Add(`Basic realm="a\"b", Bearer realm=x`)
	f.Add(`Bearer realm="`)
	f.Fuzz(func(t *testing.T, header string) {
		for scheme, params := range oci.Challenges([]string{header}) {
			if scheme != strings.ToLower(scheme) || scheme == "" || params == nil {
				t.Errorf("scheme %q of %q", scheme, header)
			}
		}
	})
}
