package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
)

// blob opens a blob. Its end is an error unless size and digest are those of the descriptor.
func (r *repository) blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if !digestName.MatchString(d.Digest.String()) {
		return nil, r.upstream.Fail(source.KindContent, "the manifest names a blob by %q, which is not a sha256 digest", source.Shown(d.Digest.String()))
	}
	if d.Size < 0 {
		return nil, r.upstream.Fail(source.KindContent, "the manifest says that blob %s has %d bytes", d.Digest, d.Size)
	}
	// One byte more, so that a blob that is too long is seen.
	res, err := r.do(ctx, http.MethodGet, "blobs/"+d.Digest.String(), nil, limit{d.Size + 1, fmt.Sprintf("blob %s has more than the %d bytes that the manifest says", d.Digest, d.Size)})
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusNotFound {
		closing(res)
		return nil, r.upstream.Fail(source.KindContent, "blob %s, which the manifest names, is not there; push the artifact again", d.Digest)
	}
	if res.StatusCode != http.StatusOK {
		closing(res)
		return nil, r.refused(res)
	}
	return &verified{ReadCloser: res.Body, of: r, want: d, sum: sha256.New()}, nil
}

// ReadBlob returns a blob that may have that many bytes.
func (r *repository) ReadBlob(ctx context.Context, d ocispec.Descriptor, most int64) ([]byte, error) {
	if d.Size > most {
		return nil, r.upstream.Fail(source.KindLimit, "blob %s has %d bytes; one of its kind may have %d", d.Digest, d.Size, most)
	}
	blob, err := r.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = blob.Close() }()
	var out bytes.Buffer
	_, err = io.Copy(&out, blob)
	return out.Bytes(), err
}

// verified compares a blob with its descriptor as it is read.
type verified struct {
	io.ReadCloser
	of    *repository
	want  ocispec.Descriptor
	sum   hash.Hash
	count int64
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.count += int64(n)
	_, _ = v.sum.Write(p[:n])
	switch {
	case v.count > v.want.Size:
		return 0, v.of.upstream.Fail(source.KindContent, "blob %s has more than the %d bytes that the manifest says", v.want.Digest, v.want.Size)
	case err == io.EOF && v.count < v.want.Size:
		return n, v.of.upstream.Fail(source.KindContent, "blob %s ended after %d of %d bytes; it is tried again", v.want.Digest, v.count, v.want.Size)
	case err == io.EOF && "sha256:"+hex.EncodeToString(v.sum.Sum(nil)) != v.want.Digest.String():
		return n, v.of.upstream.Fail(source.KindContent, "what the registry sent as blob %s is not of that digest", v.want.Digest)
	}
	return n, err
}
