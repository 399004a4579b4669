package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"flotilla.dev/flotilla/hub/source"
)

// gcs is a bucket of Google Cloud Storage, by the two calls of its JSON API that are needed. Google's client for it would
// make the hub larger by half.
type gcs struct {
	client    *http.Client
	base      string // of the bucket's objects
	anonymous bool
	tokens    oauth2.TokenSource
}

const gcsScope = "https://www.googleapis.com/auth/devstorage.read_only"

func (w *wire) gcs(who identity) (storage, error) {
	transport, err := w.storageTransport()
	if err != nil {
		return nil, err
	}
	scheme := "https"
	if w.spec.Insecure {
		scheme = "http"
	}
	base := url.URL{Scheme: scheme, Host: w.spec.Endpoint}
	s := &gcs{client: &http.Client{Transport: transport, CheckRedirect: nowhere}, base: base.String() + "/storage/v1/b/" + url.PathEscape(w.spec.BucketName) + "/o"}
	if s.tokens, err = w.gcsTokens(who); err != nil {
		return nil, err
	}
	s.anonymous = s.tokens == nil
	return s, nil
}

// gcsTokens are those of the Secret's service account, or of the hub's own identity where that is granted.
func (w *wire) gcsTokens(who identity) (oauth2.TokenSource, error) {
	secret := w.Secrets[secretRef]
	switch {
	case secret == nil && !w.Identity:
		return nil, nil
	case secret == nil:
		tokens, err := who.gcp(context.Background())
		if err != nil {
			return nil, w.Fail(source.KindAuth, "the hub has no identity at Google Cloud; name a Secret in spec.secretRef")
		}
		return tokens, nil
	}
	key := secret["serviceaccount"]
	if len(key) == 0 {
		return nil, w.BadSecret(secretRef, "the Secret has no key serviceaccount")
	}
	var account struct{ Type string }
	if err := json.Unmarshal(key, &account); err != nil || account.Type != "service_account" {
		return nil, w.BadSecret(secretRef, "serviceaccount in the Secret is not the key of a service account in JSON (type: service_account)")
	}
	config, err := google.JWTConfigFromJSON(key, gcsScope)
	if err != nil {
		return nil, w.BadSecret(secretRef, "serviceaccount in the Secret is not the key of a service account in JSON")
	}
	client, err := w.tokenClient(certSecretRef)
	if err != nil {
		return nil, err
	}
	client.Timeout = w.TimeLimit() // a token source has no context of its own
	return config.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, client)), nil
}

// gcsPage is a page of a list.
type gcsPage struct {
	Kind  string
	Items []struct {
		Name            string
		ETag            string
		Size            string
		Generation      string
		ContentEncoding string
	}
	NextPageToken string
}

func (s *gcs) list(ctx context.Context, prefix string, visit func(object) error) error {
	ctx = withPages(ctx, `"storage#objects"`, '{')
	query := url.Values{
		"maxResults": {strconv.Itoa(pageSize)}, "fields": {"kind,nextPageToken,items(name,etag,size,generation,contentEncoding)"}, "prettyPrint": {"false"},
	}
	if prefix != "" {
		query.Set("prefix", prefix)
	}
	for {
		res, err := s.get(ctx, s.base+"?"+query.Encode())
		if err != nil {
			return err
		}
		var page gcsPage
		err = json.NewDecoder(res.Body).Decode(&page)
		_ = res.Body.Close()
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			size, err := strconv.ParseInt(item.Size, 10, 64)
			if err != nil || size < 0 {
				return errForeign
			}
			if item.ContentEncoding == "gzip" {
				size = -1 // it comes unpacked
			}
			if err := visit(object{item.Name, item.ETag, size, item.Generation}); err != nil {
				return err
			}
		}
		if page.NextPageToken == "" {
			return nil
		}
		query.Set("pageToken", page.NextPageToken)
	}
}

func (s *gcs) open(ctx context.Context, o object) (io.ReadCloser, error) {
	address := s.base + "/" + url.PathEscape(o.key) + "?alt=media"
	if o.version != "" {
		// The ETag is of the object's metadata; what is read follows from the generation.
		address += "&ifGenerationMatch=" + url.QueryEscape(o.version)
	}
	res, err := s.get(ctx, address)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// gcsError is an answer that is an error.
type gcsError struct{ status int }

func (e *gcsError) Error() string { return "Google Cloud Storage answered " + strconv.Itoa(e.status) }

func (s *gcs) get(ctx context.Context, address string) (*http.Response, error) {
	for try := 1; ; try++ {
		res, err := s.once(ctx, address)
		if err != nil {
			return nil, err
		}
		if res.StatusCode == http.StatusOK {
			return res, nil
		}
		_ = res.Body.Close()
		switch status := res.StatusCode; {
		case status >= 500 && try < tries:
		case status == http.StatusPreconditionFailed:
			return nil, errChanged
		case status == http.StatusNotFound && pagesOf(res.Request) == nil:
			return nil, errGone
		default:
			return nil, &gcsError{status}
		}
	}
}

func (s *gcs) once(ctx context.Context, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if s.tokens != nil {
		token, err := s.tokens.Token()
		if err != nil {
			return nil, err
		}
		token.SetAuthHeader(req)
	}
	return s.client.Do(req)
}

func (s *gcs) explain(u upstream, err error) *source.Error {
	var refused *oauth2.RetrieveError
	var answer *gcsError
	switch {
	case errors.As(err, &refused):
		return u.Fail(source.KindAuth, "no token is given for the service account: its key may be deleted or disabled; correct serviceaccount in the Secret")
	case !errors.As(err, &answer):
		return nil
	}
	switch status := answer.status; {
	case (status == http.StatusUnauthorized || status == http.StatusForbidden) && s.anonymous:
		return u.Fail(source.KindAuth, "it is not open to everybody, and the source has no credential; %s", u.noCredential())
	case status == http.StatusUnauthorized:
		return u.Fail(source.KindAuth, "the credential is not taken; correct serviceaccount in the Secret")
	case status == http.StatusForbidden:
		return u.Fail(source.KindAuth, "access is denied: the account needs the rights to list the bucket %s and to read its objects (storage.objects.list, storage.objects.get)", u.spec.BucketName)
	case status == http.StatusNotFound:
		return u.Fail(source.KindRepository, "there is no bucket %s; check spec.bucketName", u.spec.BucketName)
	default:
		return u.answered(status, "Google Cloud Storage")
	}
}
