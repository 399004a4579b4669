package helm

import (
	"context"
	"errors"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// indexFile is the one file of a HelmRepository's Tree.
const indexFile = "index.yaml"

// repositories is the Fetcher of HelmRepositories over HTTP.
type repositories struct{ *Helm }

// Resolve implements source.Fetcher: the Revision is the digest of the index, as in Flux. An index that is new is stored, for
// it had to be downloaded to know that.
func (r repositories) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	spec, is := u.Spec.(flux.HelmRepository)
	if !is || source.Static(spec) {
		return source.Found{}, u.Fail(source.KindInvalid, "nothing is fetched of a HelmRepository of type oci: it says where charts are")
	}
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()
	digest, err := r.listed(ctx, limited, u)
	if err != nil {
		return source.Found{}, explain(ctx, limited, u, err)
	}
	return source.Found{Revision: fleet.Revision(digest.String())}, nil
}

// listed is the digest of the server's index, which is stored.
func (h *Helm) listed(ctx, limited context.Context, u source.Upstream) (fleet.Digest, error) {
	server := h.memories.of(u)
	done, err := server.take(limited)
	if err != nil {
		return fleet.Digest{}, err
	}
	defer done()
	if !u.AsOf.IsZero() && !server.digest.IsZero() && !server.asked.Before(u.AsOf) {
		return server.digest, nil
	}
	asked := time.Now()
	if err := h.download(ctx, limited, u, server); err != nil {
		return fleet.Digest{}, err
	}
	server.asked = asked
	return server.digest, nil
}

// download asks for the index, unless it is the one that the server sent last, and stores it.
func (h *Helm) download(ctx, limited context.Context, u source.Upstream, server *memory) error {
	client, err := h.client(u)
	if err != nil {
		return err
	}
	text, err := h.spool.File()
	if err != nil {
		return err
	}
	defer text.Close()
	got, err := client.get(ctx, limited, client.index(), file{indexFile, server.condition(), h.config.Limits.Index, text})
	if err != nil {
		return err
	}
	if got.unchanged {
		if server.digest.IsZero() {
			return &problem{source.KindServer, "the server says that nothing changed, and was not asked that"}
		}
		return nil
	}
	if digest := text.Digest(); digest != server.digest {
		if err := h.keep(limited, digest, text, server.digest); err != nil {
			return err
		}
	}
	server.note(text.Digest(), got.header)
	return nil
}

// keep parses the index, which it has to stand, and stores it. before is the one that it follows.
func (h *Helm) keep(ctx context.Context, digest fleet.Digest, text *source.Spooled, before fleet.Digest) error {
	done, err := h.indexes.room(ctx)
	if err != nil {
		return err
	}
	defer done()
	data, err := text.Bytes()
	if err != nil {
		return err
	}
	if _, err := h.indexes.read(ctx, digest, data, before); err != nil {
		return err
	}
	_, err = h.artifact(ctx, indexFile, data)
	return err
}

// Fetch implements source.Fetcher. As a rule the index is stored by now.
func (r repositories) Fetch(ctx context.Context, u source.Upstream, found source.Found) (*source.Artifact, error) {
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()
	digest, err := fleet.ParseDigest(string(found.Revision))
	if err != nil || digest.IsZero() {
		return nil, u.Fail(source.KindInvalid, "%q is not the revision of an index", found.Revision)
	}
	data, err := r.config.Store.Get(limited, digest)
	if errors.Is(err, fleet.ErrNotFound) {
		data, err = r.again(ctx, limited, u, digest)
	} else if err != nil {
		err = &source.StoreFailure{Err: err}
	}
	if err != nil {
		return nil, explain(ctx, limited, u, err)
	}
	fetched, err := r.artifact(limited, indexFile, data)
	if err != nil {
		return nil, explain(ctx, limited, u, err)
	}
	return fetched, nil
}

// again downloads an index that the store has lost.
func (r repositories) again(ctx, limited context.Context, u source.Upstream, want fleet.Digest) ([]byte, error) {
	server := r.memories.of(u)
	done, err := server.take(limited)
	if err != nil {
		return nil, err
	}
	defer done()
	server.forget()
	if err := r.download(ctx, limited, u, server); err != nil {
		return nil, err
	}
	if server.digest != want {
		return nil, &problem{source.KindServer, "the index changed while it was fetched; it is tried again"}
	}
	return r.blob(limited, want)
}
