package oci

import (
	"context"
	"net/http"

	"flotilla.dev/flotilla/hub/source"
)

// do asks the repository, logs in when it is told to, and asks again.
func (r *repository) do(ctx context.Context, method, path string, accept []string, l limit) (*http.Response, error) {
	ctx = withLimit(ctx, l.bytes, l.problem)
	for again := false; ; again = true {
		res, err := r.send(ctx, method, path, accept)
		if err != nil || res.StatusCode != http.StatusUnauthorized || again {
			return res, err
		}
		closing(res)
		changed, err := r.authenticate(ctx, res)
		if err != nil {
			return nil, err
		}
		if !changed {
			return res, nil
		}
	}
}

// send sends a request. An insecure registry is tried by HTTPS first, as Flux does.
func (r *repository) send(ctx context.Context, method, path string, accept []string) (*http.Response, error) {
	scheme := r.session.speaks()
	if scheme != "" {
		return r.sendBy(ctx, scheme, method, path, accept)
	}
	res, err := r.sendBy(ctx, "https", method, path, accept)
	if err == nil {
		r.session.setSpeaks("https")
		return res, nil
	}
	if failure := r.upstream.Explain(ctx, ctx, err); ctx.Err() != nil || failure != nil && (failure.Kind == source.KindAddress || failure.Kind == source.KindRedirect) {
		return nil, err
	}
	res, plain := r.sendBy(ctx, "http", method, path, accept)
	if plain != nil {
		return nil, plain
	}
	r.session.setSpeaks("http")
	return res, nil
}

func (r *repository) sendBy(ctx context.Context, scheme, method, path string, accept []string) (*http.Response, error) {
	at := r.session.repository
	req, err := http.NewRequestWithContext(ctx, method, scheme+"://"+at.RegistryStr()+"/v2/"+at.RepositoryStr()+"/"+path, nil)
	if err != nil {
		return nil, r.upstream.Fail(source.KindInvalid, "the address of the repository is not a URL")
	}
	req.Header.Set("User-Agent", "flotilla")
	for _, mediaType := range accept {
		req.Header.Add("Accept", mediaType)
	}
	r.session.authorize(req)
	return r.session.client.Do(req)
}

func closing(res *http.Response) { _ = res.Body.Close() }

// limitKey is of a context that says how large an answer may be.
type limitKey struct{}

type limit struct {
	bytes   int64
	problem string
}

func withLimit(ctx context.Context, bytes int64, problem string) context.Context {
	return context.WithValue(ctx, limitKey{}, limit{bytes, problem})
}

// answerLimit is the limit of the request's context.
func answerLimit(req *http.Request) (int64, string) {
	l, _ := req.Context().Value(limitKey{}).(limit)
	return l.bytes, l.problem
}
