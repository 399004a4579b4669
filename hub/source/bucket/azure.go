package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"flotilla.dev/flotilla/hub/source"
)

// azure is a container of Azure Blob Storage.
type azure struct {
	container *container.Client
	anonymous bool
}

func (w *wire) azure(who identity) (storage, error) {
	transport, err := w.storageTransport()
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(w.spec.Endpoint)
	if err != nil {
		return nil, w.Fail(source.KindInvalid, "spec.endpoint is not the URL of a storage account")
	}
	address.Path = strings.TrimSuffix(address.Path, "/") + "/" + w.spec.BucketName
	options := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: &http.Client{Transport: transport, CheckRedirect: nowhere}, Retry: azureRetry(),
	}}
	a := &azure{}
	a.container, err = w.azureContainer(who, address, options, a)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func azureRetry() policy.RetryOptions {
	return policy.RetryOptions{MaxRetries: tries - 1, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second}
}

func (a *azure) list(ctx context.Context, prefix string, visit func(object) error) error {
	ctx = withPages(ctx, "<EnumerationResults", '<')
	size := int32(pageSize)
	options := &container.ListBlobsFlatOptions{MaxResults: &size}
	if prefix != "" {
		options.Prefix = &prefix
	}
	pager := a.container.NewListBlobsFlatPager(options)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err
		}
		if page.Segment == nil {
			continue
		}
		for _, item := range page.Segment.BlobItems {
			if item == nil || item.Name == nil {
				return errForeign
			}
			o := object{key: *item.Name, size: -1}
			if p := item.Properties; p != nil {
				if p.ETag != nil {
					o.etag = quoted(string(*p.ETag))
				}
				if p.ContentLength != nil {
					o.size = *p.ContentLength
				}
			}
			if err := visit(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// quoted is an ETag as an answer with a blob has it, and Flux puts it into the revision: a list has it without quotes.
func quoted(etag string) string {
	if etag == "" || etag[0] == '"' {
		return etag
	}
	return `"` + etag + `"`
}

func (a *azure) open(ctx context.Context, o object) (io.ReadCloser, error) {
	var options *blob.DownloadStreamOptions
	if o.etag != "" {
		etag := azcore.ETag(o.etag)
		options = &blob.DownloadStreamOptions{AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &etag}}}
	}
	answer, err := a.container.NewBlobClient(o.key).DownloadStream(ctx, options)
	switch {
	case err == nil:
		return answer.Body, nil
	case bloberror.HasCode(err, bloberror.ConditionNotMet):
		return nil, errChanged
	case bloberror.HasCode(err, bloberror.BlobNotFound):
		return nil, errGone
	}
	return nil, err
}

func (a *azure) explain(u upstream, err error) *source.Error {
	var refused *azidentity.AuthenticationFailedError
	var answer *azcore.ResponseError
	switch {
	case errors.As(err, &refused):
		return u.Fail(source.KindAuth, "no token is given for the account; correct the Secret (tenantId, clientId, and clientSecret or clientCertificate)")
	case !errors.As(err, &answer):
		return nil
	}
	switch code := bloberror.Code(answer.ErrorCode); {
	case code == bloberror.ContainerNotFound, code == bloberror.ContainerBeingDeleted:
		return u.Fail(source.KindRepository, "there is no container %s in that account; check spec.bucketName", u.spec.BucketName)
	case a.anonymous && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusConflict):
		return u.Fail(source.KindAuth, "it is not open to everybody, or not there, and the source has no credential; %s", u.noCredential())
	case code == bloberror.AuthenticationFailed:
		return u.Fail(source.KindAuth, "the credential is not taken: it is wrong or ran out, or the clocks differ too much; correct the Secret (a sasKey ends at a date). For a key of one container, check spec.bucketName too")
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusUnauthorized:
		return u.Fail(source.KindAuth, "access is denied: the credential needs the rights to list the container %s and to read its blobs (Storage Blob Data Reader)", u.spec.BucketName)
	default:
		return u.answered(answer.StatusCode, "a storage account")
	}
}
