package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"flotilla.dev/flotilla/hub/source"
)

// s3 is a bucket of S3, or of what speaks like it.
type s3 struct {
	client    *minio.Client
	bucket    string
	anonymous bool
	// sts is whom the credential comes from, in words; empty: from the Secret.
	sts string
}

// tries is how often one request is made: once more, for what passes in a moment.
const tries = 2

func (w *wire) s3(who identity) (storage, error) {
	transport, err := w.storageTransport()
	if err != nil {
		return nil, err
	}
	if err := s3utils.CheckValidBucketName(w.spec.BucketName); err != nil {
		return nil, w.Fail(source.KindInvalid, "%q is not the name of a bucket (%s); check spec.bucketName", w.spec.BucketName, err)
	}
	s := &s3{bucket: w.spec.BucketName}
	creds, err := w.s3Credentials(who, s)
	if err != nil {
		return nil, err
	}
	// Where the bucket stands in the URL, in the host or in the path, follows from the endpoint, as in Flux.
	s.client, err = minio.New(w.spec.Endpoint, &minio.Options{
		Creds: creds, Secure: !w.spec.Insecure, Region: w.spec.Region, Transport: transport, MaxRetries: tries,
	})
	if err != nil {
		return nil, w.Fail(source.KindInvalid, "spec.endpoint is not host or host:port")
	}
	return s, nil
}

func (s *s3) list(ctx context.Context, prefix string, visit func(object) error) error {
	ctx, cancel := context.WithCancel(withPages(ctx, "<ListBucketResult", '<'))
	defer cancel()
	noOwner := false
	for o := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{
		Prefix: prefix, Recursive: true, MaxKeys: pageSize, FetchOwner: &noOwner, UseV1: s3utils.IsGoogleEndpoint(*s.client.EndpointURL()),
	}) {
		if o.Err != nil {
			return o.Err
		}
		if err := visit(object{key: o.Key, etag: o.ETag, size: o.Size}); err != nil {
			return err
		}
	}
	return context.Cause(ctx) // the iterator ends with its context, and does not say so
}

func (s *s3) open(ctx context.Context, o object) (io.ReadCloser, error) {
	var options minio.GetObjectOptions
	if o.etag != "" {
		if err := options.SetMatchETag(o.etag); err != nil {
			return nil, errForeign
		}
	}
	body, info, _, err := minio.Core{Client: s.client}.GetObject(ctx, s.bucket, o.key, options)
	switch code := minio.ToErrorResponse(err).Code; {
	case err == nil && o.etag != "" && info.ETag != "" && info.ETag != o.etag: // by a server that has no If-Match
		_ = body.Close()
		return nil, errChanged
	case err == nil:
		return body, nil
	case code == minio.NoSuchKey:
		return nil, errGone
	case code == minio.PreconditionFailed:
		return nil, errChanged
	}
	return nil, err
}

func (s *s3) explain(u upstream, err error) *source.Error {
	var sts credentials.ErrorResponse
	if errors.As(err, &sts) {
		return u.Fail(source.KindAuth, "%s gave no credential; check spec.sts, and the Secret that it names", s.sts)
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return nil
	}
	switch answer.Code {
	case minio.NoSuchBucket:
		return u.Fail(source.KindRepository, "there is no bucket %s at that endpoint; check spec.bucketName, spec.endpoint and spec.region", u.spec.BucketName)
	case "InvalidBucketName":
		return u.Fail(source.KindInvalid, "%q is not the name of a bucket there; check spec.bucketName", u.spec.BucketName)
	case "InvalidAccessKeyId":
		return u.Fail(source.KindAuth, "the access key is not known there; correct accesskey in the Secret of spec.secretRef")
	case "SignatureDoesNotMatch":
		return u.Fail(source.KindAuth, "the secret key does not fit the access key; correct accesskey and secretkey in the Secret of spec.secretRef")
	case "RequestTimeTooSkewed", "RequestExpired":
		return u.Fail(source.KindAuth, "the server's clock and the hub's differ too much for signatures; set the clocks")
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired":
		return u.Fail(source.KindAuth, "the temporary credential ran out or is not taken; it is tried again with a new one")
	case minio.AccessDenied, "AllAccessDisabled", "AccountProblem":
		if s.anonymous {
			return u.Fail(source.KindAuth, "it is not open to everybody, and the source has no credential; %s", u.noCredential())
		}
		return u.Fail(source.KindAuth, "access is denied: the credential needs the rights to list the bucket %s and to read its objects (s3:ListBucket, s3:GetObject)", u.spec.BucketName)
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "InvalidRegion", "IllegalLocationConstraintException":
		if region := answer.Region; s3Region(region) {
			return u.Fail(source.KindRedirect, "the bucket is in the region %s; write spec.region: %s", region, region)
		}
		return u.Fail(source.KindRedirect, "the bucket is in another region, or at another endpoint; correct spec.region and spec.endpoint")
	}
	switch status := answer.StatusCode; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return u.Fail(source.KindAuth, "access is denied (%d); correct the Secret, or the rights of its key", status)
	case status >= 300 && status < 400:
		return u.Fail(source.KindRedirect, "it redirects elsewhere, which is not followed; write the bucket's present address into spec.endpoint, and its region into spec.region")
	case status != 0 && status != http.StatusOK:
		return u.answered(status, "object storage")
	}
	return nil
}

// s3Region reports whether a server's text looks like a region, and can be shown.
func s3Region(text string) bool {
	for _, r := range text {
		if r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return text != "" && len(text) < 40
}
