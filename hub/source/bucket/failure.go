package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"flotilla.dev/flotilla/hub/source"
)

// explain words an error of a conversation. ctx is the caller's; limited the one with the upstream's timeout. s may be
// nil.
func (u upstream) explain(ctx, limited context.Context, s storage, err error) error {
	var (
		size    *sizeError
		connect *url.Error
	)
	if failure := u.Explain(ctx, limited, err); failure != nil {
		return failure
	}
	if s != nil {
		if failure := s.explain(u, err); failure != nil {
			return failure
		}
	}
	switch {
	case errors.As(err, &size):
		return u.Fail(source.KindServer, "%s; it is tried again", size)
	case errors.Is(err, errForeign):
		return u.Fail(source.KindServer, "the server's answer is no list of a bucket: is spec.endpoint that of object storage, and spec.provider right?")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &connect):
		return u.Fail(source.KindConnect, "the connection broke; it is tried again")
	}
	return u.Fail(source.KindServer, "the server's answer was not understood: is spec.endpoint that of object storage, and spec.provider right?")
}

// answered words an answer that says no more than its status. what is the storage that spec.endpoint may not be of: no matter
// where the server only has too much to do, or fails.
func (u upstream) answered(status int, what string) *source.Error {
	said := fmt.Sprintf("the server answered %d (%s)", status, http.StatusText(status))
	switch {
	case status == http.StatusTooManyRequests:
		return u.Fail(source.KindBusy, "%s: it has had too many requests; it is tried again later", said)
	case status >= 500:
		return u.Fail(source.KindServer, "%s; it is tried again", said)
	}
	return u.Fail(source.KindServer, "%s; is spec.endpoint that of %s?", said, what)
}

// busy is a failure of the server's, or the one that says for how long it asked to be left alone, if it did. Its own would
// be told again at each try.
func (b *Bucket) busy(u upstream, err error) error {
	if kind := source.KindOf(err); kind == source.KindBusy || kind == source.KindServer {
		if asked := b.config.Network.Busy(u.Upstream); asked != nil {
			return asked
		}
	}
	return err
}

// noCredential is what to do where reading without a credential was refused.
func (u upstream) noCredential() string {
	if u.spec.GetProvider() == "generic" {
		return "name a Secret in spec.secretRef"
	}
	return "name a Secret in spec.secretRef, or have an administrator of the hub grant its identity to this URL and namespace (a Credential)"
}
