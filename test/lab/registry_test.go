package lab_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"flotilla.dev/flotilla/test/lab"
)

func TestRegistryServesWhatWasPushed(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	for title, config := range map[string]lab.RegistryConfig{
		"open":                {},
		"password":            {Username: "anna", Password: "correct-horse"},
		"token":               {Username: "anna", Password: "correct-horse", Tokens: true},
		"TLS":                 {SiteConfig: lab.SiteConfig{Authority: authority}, Username: "anna", Password: "correct-horse", Tokens: true},
		"client certificates": {SiteConfig: lab.SiteConfig{Authority: authority, ClientCertificates: true}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			r := lab.TestRegistry(t, config)
			digest, err := r.Push("team/app", "1.0.0", lab.FluxArtifact(map[string]string{"a.yaml": "kind: A\n"}))
			if err != nil {
				t.Fatal(err)
			}
			image, err := remote.Image(reference(t, r, "team/app:1.0.0"), options(t, r, "anna", "correct-horse")...)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := image.Digest(); err != nil || got.String() != digest {
				t.Errorf("digest %s, %v; want %s", got, err, digest)
			}
			manifest, err := image.Manifest()
			if err != nil || string(manifest.Config.MediaType) != lab.FluxConfig || manifest.Annotations["org.opencontainers.image.revision"] == "" {
				t.Errorf("manifest %+v, %v", manifest, err)
			}
			layers, err := image.Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("%d layers, %v", len(layers), err)
			}
			content, err := layers[0].Compressed()
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			if got, err := io.ReadAll(content); err != nil || !slices.Equal(got, lab.TarGzip(map[string]string{"a.yaml": "kind: A\n"})) {
				t.Errorf("%d bytes of content, %v", len(got), err)
			}
			if r.Manifests() == 0 || r.Blobs() == 0 {
				t.Errorf("%d manifests and %d blobs were counted", r.Manifests(), r.Blobs())
			}
		})
	}
}

func TestRegistryRefusesTheWrongPassword(t *testing.T) {
	t.Parallel()
	for _, tokens := range []bool{false, true} {
		r := lab.TestRegistry(t, lab.RegistryConfig{Username: "anna", Password: "correct-horse", Tokens: tokens})
		if _, err := r.Push("app", "1.0.0", lab.FluxArtifact(nil)); err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{"", "wrong"} {
			if _, err := remote.Head(reference(t, r, "app:1.0.0"), options(t, r, "anna", password)...); err == nil {
				t.Errorf("tokens %t: it answers to password %q", tokens, password)
			}
		}
		if status := pinged(t, r, "Bearer made-up"); status != http.StatusUnauthorized {
			t.Errorf("tokens %t: status %d for a token that was not given", tokens, status)
		}
		r.Protect("anna", "wrong")
		if _, err := remote.Head(reference(t, r, "app:1.0.0"), options(t, r, "anna", "wrong")...); err != nil {
			t.Errorf("tokens %t, after the password was changed: %v", tokens, err)
		}
	}
}

func TestRegistryListsTagsInPages(t *testing.T) {
	t.Parallel()
	r := lab.TestRegistry(t, lab.RegistryConfig{TagPage: 2})
	want := []string{"1.0.0", "1.1.0", "1.2.0", "2.0.0", "latest"}
	for _, tag := range want {
		if _, err := r.Push("app", tag, lab.FluxArtifact(nil)); err != nil {
			t.Fatal(err)
		}
	}
	list := func() []string {
		tags, err := remote.List(reference(t, r, "app:x").Context(), options(t, r, "", "")...)
		if err != nil {
			t.Fatal(err)
		}
		return tags
	}
	if tags := list(); !slices.Equal(tags, want) {
		t.Errorf("tags %v, want %v", tags, want)
	}
	if pages := r.TagLists(); pages != 3 {
		t.Errorf("%d pages, want 3", pages)
	}
	if err := r.Untag("app", "latest"); err != nil {
		t.Fatal(err)
	}
	if tags := list(); !slices.Equal(tags, want[:4]) {
		t.Errorf("tags %v without the one taken away, want %v", tags, want[:4])
	}
}

func TestRegistryKnowsWhatRefersToAManifest(t *testing.T) {
	t.Parallel()
	r := lab.TestRegistry(t, lab.RegistryConfig{})
	subject, err := r.Push("app", "1.0.0", lab.FluxArtifact(map[string]string{"a": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := r.Push("app", "", lab.OCIArtifact{ArtifactType: "application/x-signature", Subject: subject})
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(reference(t, r, "app:x").Context().Digest(subject), options(t, r, "", "")...)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != signature {
		t.Errorf("referrers %+v, %v; want %s", manifest, err, signature)
	}
}

func TestRegistryIsPushedTo(t *testing.T) {
	t.Parallel()
	r := lab.TestRegistry(t, lab.RegistryConfig{Username: "anna", Password: "correct-horse"})
	if _, err := r.Push("app", "1.0.0", lab.FluxArtifact(map[string]string{"a": "1"})); err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(reference(t, r, "app:1.0.0"), options(t, r, "anna", "correct-horse")...)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, r, "copy:1.0.0"), image, options(t, r, "anna", "correct-horse")...); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(reference(t, r, "copy:1.0.0"), options(t, r, "anna", "correct-horse")...); err != nil {
		t.Error(err)
	}
}

// pinged is the status of a question that names no repository.
func pinged(t *testing.T, r *lab.Registry, authorization string) int {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL()+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", authorization)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func reference(t *testing.T, r *lab.Registry, image string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(r.Name(image))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func options(t *testing.T, r *lab.Registry, user, password string) []remote.Option {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithTransport(client.Transport), remote.WithContext(t.Context())}
	if strings.TrimSpace(password) != "" {
		options = append(options, remote.WithAuth(&authn.Basic{Username: user, Password: password}))
	}
	return options
}
