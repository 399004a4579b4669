package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// CosignKey signs artifacts of registries as cosign does with a key.
type CosignKey struct{ private *ecdsa.PrivateKey }

// TestCosignKey is a key of the test's own.
func TestCosignKey(t testing.TB) *CosignKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &CosignKey{private}
}

// Public is cosign.pub.
func (k *CosignKey) Public() ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), nil
}

// SignCosign signs a manifest, given by its digest, and pushes the signature beside it, under the tag that cosign 2 has.
func (r *Registry) SignCosign(repository, digest string, key *CosignKey) error {
	const simple = "application/vnd.dev.cosign.simplesigning.v1+json"
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},`+
		`"type":"cosign container image signature"},"optional":null}`, r.Name(repository), digest)
	hash := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, key.private, hash[:])
	if err != nil {
		return err
	}
	layer := OCILayer{MediaType: simple, Content: payload, Annotations: map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature),
	}}
	_, err = r.Push(repository, strings.Replace(digest, ":", "-", 1)+".sig", OCIArtifact{Layers: []OCILayer{layer}})
	return err
}
