package oci_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// cosign signs the digest as cosign 2 does, and pushes that.
func (s *site) cosign(t *testing.T, key crypto.Signer, digest string) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"a"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, digest)
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.SignMessage(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	layer := s.blob(t, "application/vnd.dev.cosign.simplesigning.v1+json", payload)
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signed)}
	s.manifest(t, strings.Replace(digest, ":", "-", 1)+".sig", image(s.blob(t, fluxConfig, []byte("{}")), layer))
}

func TestNothingIsPulledThatIsNotSigned(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	u := upstream(s, func(o *flux.OCIRepository, all source.Secrets) {
		o.Verify = &flux.OCIVerify{Provider: flux.Cosign, SecretRef: &flux.SecretRef{Name: "keys"}}
		all["verify.secretRef"] = map[string][]byte{"cosign.pub": pem}
	})
	digest := s.artifact(t, "latest", map[string]string{"a": "b"})
	s.requests()
	_, got, err := fetched(t.Context(), b, u)
	refused(t, err, source.KindSignature, "there is no signature of "+digest, "cosign.pub")
	if asked := s.requests(); got != nil || b.store.Len() != 0 || slices.ContainsFunc(asked, func(path string) bool { return strings.Contains(path, "/blobs/") }) {
		t.Errorf("asked %v", asked)
	}
	s.cosign(t, key, digest)
	_, got, err = fetched(t.Context(), b, u)
	if err != nil || got.Detail.Verified != "cosign, key cosign.pub" {
		t.Errorf("error %v", err)
	}
	// The signature is of that artifact, not of the tag.
	s.artifact(t, "latest", map[string]string{"a": "evil"})
	_, _, err = fetched(t.Context(), b, u)
	refused(t, err, source.KindSignature, "there is no signature of sha256:")
}

// Whoever may push can put anything in the place of a signature.
func TestWhatIsNoSignatureDoesNotCount(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	digest := s.artifact(t, "latest", map[string]string{"a": "b"})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	u := upstream(s, func(o *flux.OCIRepository, all source.Secrets) {
		o.Verify = &flux.OCIVerify{Provider: flux.Cosign, SecretRef: &flux.SecretRef{Name: "keys"}}
		all["verify.secretRef"] = map[string][]byte{"cosign.pub": pem}
	})
	for name, layers := range map[string]any{"more layers than a manifest may have": make([]map[string]any, 2001), "no list of layers": "x"} {
		s.manifest(t, strings.Replace(digest, ":", "-", 1)+".sig", map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "layers": layers})
		_, _, err = fetched(t.Context(), b, u)
		if source.KindOf(err) != source.KindSignature {
			t.Errorf("%s: %v; want that there is no good signature", name, err)
		}
	}
}

// A registry from before there were referrers has them by a tag.
func TestReferrersAreFoundByTheirTagToo(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	digest := s.artifact(t, "latest", map[string]string{"a": "b"})
	bundle := s.blob(t, "application/vnd.dev.sigstore.bundle.v0.3+json", []byte("{}"))
	manifest := image(s.blob(t, fluxConfig, []byte("{}")), bundle)
	manifest["artifactType"] = bundle.MediaType
	signed := s.manifest(t, "signature", manifest)
	manifest["artifactType"] = "application/spdx+json" // which says what is in it, and not who signed it
	other := s.manifest(t, "other", manifest)
	s.manifest(t, strings.Replace(digest, ":", "-", 1), map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex,
		"manifests": []map[string]any{{"mediaType": ocispec.MediaTypeImageManifest, "artifactType": "application/spdx+json", "digest": other, "size": len(s.get(t, "/v2/apps/podinfo/manifests/other"))}, {"mediaType": ocispec.MediaTypeImageManifest, "artifactType": bundle.MediaType, "digest": signed, "size": len(s.get(t, "/v2/apps/podinfo/manifests/signature"))}},
	})
	answers(s, "/referrers/", sends404)
	u := upstream(s, func(o *flux.OCIRepository, all source.Secrets) {
		o.Verify = &flux.OCIVerify{SecretRef: &flux.SecretRef{Name: "keys"}}
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		all["verify.secretRef"] = map[string][]byte{}
		all["verify.secretRef"]["a.pub"], _ = cryptoutils.MarshalPublicKeyToPEM(key.Public())
	})
	_, _, err := fetched(t.Context(), b, u)
	refused(t, err, source.KindSignature, "1 looked at: a bundle is not by one of these keys")
}
