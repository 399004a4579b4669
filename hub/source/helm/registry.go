package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// fromRegistry picks the chart by the tags of its repository in the registry that its HelmRepository names.
func (c *chart) fromRegistry(ctx context.Context) (*picked, error) {
	u, err := c.registry(c.input.Upstream, c.spec.Chart, c.spec.Version)
	if err != nil {
		return nil, err
	}
	if c.spec.Verify != nil {
		spec, _ := u.Spec.(flux.OCIRepository)
		spec.Verify = c.spec.Verify
		u.Spec, u.ID = spec, u.ID+" "+c.u.ID
		u.Secrets[verifySecretRef] = c.u.Secrets[verifySecretRef]
	}
	found, err := c.tag(ctx, u, c.spec.Chart, c.spec.Version)
	if err != nil {
		return nil, err
	}
	version, err := c.marked(versionOf(found), "")
	if err != nil {
		return nil, err
	}
	return &picked{version: version, build: func(ctx, limited context.Context) (*built, error) {
		title := titleOf(c.spec.Chart, versionOf(found))
		data, detail, err := c.layer(ctx, u, found)
		if err != nil {
			return nil, inside(title, err)
		}
		made, err := c.repack(limited, data, version, false, nil)
		if err != nil {
			return nil, inside(title, err)
		}
		made.verified = detail.Verified
		return made, nil
	}}, nil
}

// tag is the tag of the version. ctx is the caller's: the Fetcher has the upstream's timeout by itself.
func (h *Helm) tag(ctx context.Context, u source.Upstream, chart, version string) (source.Found, error) {
	found, err := h.config.Registry.Resolve(ctx, u)
	switch source.KindOf(err) {
	case source.KindRepository:
		return found, u.Fail(source.KindRepository, "the registry has no chart %q; check its name, and %s", source.Shown(chart), u.Field("url"))
	case source.KindRef:
		return found, u.Fail(source.KindRef, "the registry has no version of the chart %q in the range %q; correct spec.version", source.Shown(chart), source.Shown(cmp.Or(version, "*")))
	}
	return found, err
}

// registry is the chart's repository below a HelmRepository of type oci, as the Fetcher of OCIRepositories knows one.
func (c *chart) registry(repository source.Upstream, chart, version string) (source.Upstream, error) {
	from := repositorySpec(repository)
	spec := flux.OCIRepository{
		URL: strings.TrimRight(from.URL, "/") + "/" + chart, Ref: reference(version), Insecure: from.Insecure,
		LayerSelector: &flux.LayerSelector{MediaType: flux.ChartLayer, Operation: flux.CopyLayer},
		SecretRef:     from.SecretRef, CertSecretRef: from.CertSecretRef,
	}
	if from.SecretRef == nil {
		spec.Provider = from.Provider
	}
	if why := flux.OCIURLProblem(spec.URL); why != "" {
		return source.Upstream{}, &problem{source.KindInvalid, fmt.Sprintf("%s %s", source.Shown(source.Redact(spec.URL)), why)}
	}
	secrets, err := registrySecrets(spec.URL, ofChart(repository))
	if err != nil {
		return source.Upstream{}, err
	}
	return source.Upstream{
		ID: "chart " + spec.URL + " " + version + " " + repository.ID, Remote: "chart " + spec.URL + " " + repository.Remote,
		Kind: chartKind, URL: spec.URL, Spec: spec, Secrets: secrets, Identity: repository.Identity, Within: repository.Within, Party: c.u.Party, Timeout: c.u.TimeLimit(), AsOf: c.u.AsOf,
	}, nil
}

// reference is the tag of a version that is named exactly, which needs no list of tags; else the range. Tags have _ where
// versions have +.
func reference(version string) *flux.OCIReference {
	if _, err := strict(version); err == nil {
		return &flux.OCIReference{Tag: strings.ReplaceAll(version, "+", "_")}
	}
	if version == "" {
		version = "*"
	}
	return &flux.OCIReference{SemVer: version}
}

// versionOf is the version that a tag stands for.
func versionOf(found source.Found) string {
	tag, _, _ := strings.Cut(string(found.Revision), "@")
	return strings.ReplaceAll(tag, "_", "+")
}

// registrySecrets are a HelmRepository's Secrets as an OCIRepository has them: a user and a password are one of the logins of
// a Docker config, and certificates are in a Secret of their own.
func registrySecrets(address string, from source.Upstream) (source.Secrets, error) {
	secrets := source.Secrets{}
	for field, secret := range from.Secrets {
		secrets[field] = secret
	}
	secret := from.Secrets[secretRef]
	if secret[".dockerconfigjson"] == nil { // as in Flux, one without a login logs nobody in
		delete(secrets, secretRef)
	}
	if username, password := string(secret["username"]), string(secret["password"]); username != "" || password != "" {
		if username == "" || password == "" {
			return nil, halfCredential(from)
		}
		parsed, err := url.Parse(address)
		if err != nil {
			return nil, &problem{source.KindInvalid, from.Field("url") + " is not a URL"}
		}
		type login struct {
			Username string `json:"username"`
			Password string `json:"password"`
		}
		config, err := json.Marshal(map[string]any{"auths": map[string]login{parsed.Host: {username, password}}})
		if err != nil {
			return nil, err
		}
		secrets[secretRef] = map[string][]byte{".dockerconfigjson": config}
	}
	if from.Secrets[certSecretRef] == nil {
		certificates := map[string][]byte{}
		for _, key := range []string{"ca.crt", "caFile", "tls.crt", "certFile", "tls.key", "keyFile"} {
			if value := secret[key]; len(value) > 0 {
				certificates[key] = value
			}
		}
		if len(certificates) > 0 {
			secrets[certSecretRef] = certificates
		}
	}
	return secrets, nil
}

// layer is the chart that was found in a registry.
func (h *Helm) layer(ctx context.Context, u source.Upstream, found source.Found) ([]byte, fleet.ArtifactDetail, error) {
	fetched, err := h.config.Registry.Fetch(ctx, u, found)
	if err != nil {
		return nil, fleet.ArtifactDetail{}, err
	}
	if len(fetched.Tree.Files) != 1 {
		return nil, fleet.ArtifactDetail{}, wrong("what the registry has for it is no chart")
	}
	if file := fetched.Tree.Files[0]; file.Size > h.config.Limits.Chart {
		return nil, fleet.ArtifactDetail{}, tooLarge("it has %d bytes; a chart may have %d", file.Size, h.config.Limits.Chart)
	}
	data, err := h.blob(ctx, fetched.Tree.Files[0].Digest)
	return data, fetched.Detail, err
}
