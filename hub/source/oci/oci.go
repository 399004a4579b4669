package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/verify"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Config is what an OCI needs.
type Config struct {
	// Network is how registries are reached.
	Network *source.Network
	// Identities log in to a cloud's registries as the hub, by spec.provider; nil: those of aws, azure and gcp.
	Identities map[string]Identity
	// Dir is where layers are for as long as they are looked at. It is this process's own, and may be lost.
	Dir string
	// Store gets the files of Trees.
	Store artifact.Store
	// Metrics of all kinds; nil is metrics that nobody sees.
	Metrics *source.Metrics
	// Limits of a layer, as it comes and unpacked; zero fields are the defaults of package artifact.
	Limits artifact.ExtractLimits
	// TrustedRoot is whom keyless signatures are trusted by where a Source does not say: Sigstore's trusted_root.json; nil:
	// such a Source has to say.
	TrustedRoot []byte
	// Log gets what was left out; nil is slog's default.
	Log *slog.Logger
}

// OCI fetches OCIRepositories.
type OCI struct {
	config   Config
	client   *client
	spool    *source.Spool
	verifier *verify.Verifier
}

var _ source.Fetcher = (*OCI)(nil)

// New returns an OCI that keeps layers in the directory while it looks at them. It makes the directory and empties it.
func New(config Config) (*OCI, error) {
	if config.Network == nil || config.Dir == "" || config.Store == nil {
		return nil, fmt.Errorf("OCI sources: %w: no network, no directory or no store", fleet.ErrInvalid)
	}
	config.Limits = config.Limits.WithDefaults()
	if config.Metrics == nil {
		config.Metrics = source.NewMetrics(nil)
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Identities == nil {
		config.Identities = clouds(config.Network)
	}
	registries := newClient(config.Network, config.Identities)
	verifier, err := verify.New(verify.Config{
		TrustedRoot: config.TrustedRoot,
		HTTP:        registries.http(maxRevocation, "a list of revoked certificates is too long"),
	})
	if err != nil {
		return nil, fmt.Errorf("OCI sources: %w", err)
	}
	spool, err := source.NewSpool(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("OCI sources: %w", err)
	}
	return &OCI{config: config, client: registries, spool: spool, verifier: verifier}, nil
}

// maxRevocation bounds a list of revoked certificates.
const maxRevocation = 32 << 20

// Resolve implements Fetcher. It is one request for a tag, one more for a range of versions, and none for a digest.
func (o *OCI) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	spec, err := specOf(u)
	if err != nil {
		return source.Found{}, err
	}
	if spec.Ref != nil && spec.Ref.Digest != "" {
		return source.Found{Revision: fleet.Revision(spec.Ref.Digest)}, nil
	}
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()
	revision, err := o.resolve(limited, u, spec)
	if err != nil {
		return source.Found{}, o.busy(u, explain(ctx, limited, u, err))
	}
	return source.Found{Revision: revision}, nil
}

func (o *OCI) resolve(ctx context.Context, u source.Upstream, spec flux.OCIRepository) (fleet.Revision, error) {
	repository, err := o.open(u, spec)
	if err != nil {
		return "", err
	}
	done, err := repository.turn(ctx, o.config.Network)
	if err != nil {
		return "", err
	}
	defer done()
	tag := flux.DefaultTag
	switch {
	case spec.Ref == nil:
	case spec.Ref.SemVer != "":
		tags, err := repository.tags(ctx, u.AsOf)
		if err != nil {
			return "", err
		}
		if tag, err = newest(tags, spec); err != nil {
			failure := u.Fail(source.KindRef, "%s", err)
			failure.Reason = "ReadOperationFailed" // Flux's
			return "", failure
		}
	case spec.Ref.Tag != "":
		tag = spec.Ref.Tag
	}
	digest, err := repository.digest(ctx, tag, u.AsOf)
	if err != nil {
		return "", err
	}
	return fleet.Revision(tag + "@" + digest), nil
}

// Fetch implements Fetcher.
func (o *OCI) Fetch(ctx context.Context, u source.Upstream, found source.Found) (*source.Artifact, error) {
	spec, err := specOf(u)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()
	fetched, err := o.fetch(limited, u, spec, found.Revision)
	if err != nil {
		return nil, o.busy(u, explain(ctx, limited, u, err))
	}
	for i, warning := range fetched.Tree.Warnings {
		if i == maxLoggedWarnings {
			break
		}
		o.config.Log.Warn("left out of a source", "url", source.Redact(u.URL), "revision", found.Revision, "what", warning)
	}
	return fetched, nil
}

// maxLoggedWarnings bounds what one fetch logs.
const maxLoggedWarnings = 10

func (o *OCI) fetch(ctx context.Context, u source.Upstream, spec flux.OCIRepository, revision fleet.Revision) (*source.Artifact, error) {
	digest, err := digestOf(u, revision)
	if err != nil {
		return nil, err
	}
	repository, err := o.open(u, spec)
	if err != nil {
		return nil, err
	}
	done, err := repository.turn(ctx, o.config.Network)
	if err != nil {
		return nil, err
	}
	defer done()
	var detail fleet.ArtifactDetail
	if spec.Verify != nil {
		if detail.Verified, err = o.verifier.Image(ctx, u, repository, digest, *spec.Verify, u.Secrets); err != nil {
			return nil, err
		}
	}
	manifest, err := repository.image(ctx, digest)
	if err != nil {
		return nil, err
	}
	layer, err := manifest.layer(spec.LayerSelector, wordsOf(u).selecting)
	if err != nil {
		return nil, u.Fail(source.KindContent, "the manifest of %s %s", manifest.Digest, err)
	}
	t := layerFetch{oci: o, upstream: u, spec: spec, repository: repository, layer: layer}
	tree, err := t.tree(ctx)
	if err != nil {
		return nil, err
	}
	detail.Size, detail.Metadata, detail.Observed = tree.Size(), manifest.metadata(), observed(spec)
	return &source.Artifact{Tree: tree, Detail: detail}, nil
}

func (o *OCI) open(u source.Upstream, spec flux.OCIRepository) (*repository, error) {
	return o.client.open(u, access{
		URL: spec.URL, Insecure: spec.Insecure, Provider: spec.Provider, ServiceAccountName: spec.ServiceAccountName,
	})
}

// busy is a failure of the registry's, or the one that says for how long it asked to be left alone, if it did.
func (o *OCI) busy(u source.Upstream, err error) error {
	repository, malformed := name.NewRepository(strings.TrimPrefix(u.URL, "oci://"))
	if kind := source.KindOf(err); malformed != nil || kind != source.KindBusy && kind != source.KindServer {
		return err
	}
	at := u
	at.URL = address(repository)
	if asked := o.config.Network.Busy(at); asked != nil {
		asked.URL = source.Redact(u.URL)
		return asked
	}
	return err
}

// address is where a repository is: Docker Hub's registry has another host than its name.
func address(repository name.Repository) string { return "oci://" + repository.Name() }

// turn waits until the registry has room for a conversation.
func (r *repository) turn(ctx context.Context, network *source.Network) (done func(), err error) {
	u := r.upstream
	u.URL = address(r.session.repository)
	return network.Turn(ctx, u)
}

func specOf(u source.Upstream) (flux.OCIRepository, error) {
	spec, is := u.Spec.(flux.OCIRepository)
	if !is {
		return spec, fmt.Errorf("%w: the spec of %s is a %T, not one of an OCIRepository", fleet.ErrInvalid, source.Redact(u.URL), u.Spec)
	}
	return spec, nil
}

// digestOf is the digest of the manifest in a revision: TAG@DIGEST, or DIGEST.
func digestOf(u source.Upstream, revision fleet.Revision) (string, error) {
	text := string(revision)
	digest := text[strings.LastIndexByte(text, '@')+1:]
	if !digestName.MatchString(digest) {
		return "", u.Fail(source.KindInvalid, "revision %q has no digest", source.Shown(text))
	}
	return digest, nil
}

// observed is what Flux's status repeats of the spec.
func observed(spec flux.OCIRepository) json.RawMessage {
	status := struct {
		Ignore        *string             `json:"observedIgnore,omitempty"`
		LayerSelector *flux.LayerSelector `json:"observedLayerSelector,omitempty"`
	}{spec.Ignore, spec.LayerSelector}
	data, err := json.Marshal(status)
	if err != nil || string(data) == "{}" {
		return nil
	}
	return data
}
