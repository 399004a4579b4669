package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

const (
	bundleType  = "application/vnd.dev.sigstore.bundle.v0.3+json"
	payloadType = "application/vnd.dev.cosign.simplesigning.v1+json"
)

// byKey is a spec that wants keys, with the Secret of them.
func byKey(t *testing.T, keys ...crypto.Signer) (flux.OCIVerify, source.Secrets) {
	t.Helper()
	secret := map[string][]byte{"readme": []byte("these are keys")}
	for i, key := range keys {
		pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		secret[fmt.Sprintf("%d.pub", i)] = pem
	}
	return flux.OCIVerify{Provider: flux.Cosign, SecretRef: &flux.SecretRef{Name: "keys"}}, source.Secrets{"verify.secretRef": secret}
}

func payload(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.example.com/apps/podinfo"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, digest)
}

// signed is the layer of a payload with its signature.
func signed(t *testing.T, r *registry, key crypto.Signer, content []byte) ocispec.Descriptor {
	t.Helper()
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.SignMessage(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return r.blob(payloadType, content, map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)})
}

func statement(digest string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, strings.TrimPrefix(digest, "sha256:"))
}

// attested is what a scan says of an artifact.
func attested(digest string) []byte {
	return bytes.Replace(statement(digest), []byte("https://sigstore.dev/cosign/sign/v1"), []byte("https://cosign.sigstore.dev/attestation/vuln/v1"), 1)
}

// keyBundle is a bundle of a statement signed by a key.
func keyBundle(t *testing.T, key crypto.Signer, body []byte) []byte {
	t.Helper()
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	enveloper, err := dsse.NewEnvelopeSigner(&sigdsse.SignerAdapter{SignatureSigner: signer, Pub: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := enveloper.SignPayload(context.Background(), "application/vnd.in-toto+json", body)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, &protobundle.Bundle{
		MediaType: bundleType,
		VerificationMaterial: &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
			PublicKey: &protocommon.PublicKeyIdentifier{Hint: "hint"},
		}},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: enveloped(t, envelope)},
	})
}

func enveloped(t *testing.T, envelope *dsse.Envelope) *protodsse.Envelope {
	t.Helper()
	body, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(envelope.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	return &protodsse.Envelope{Payload: body, PayloadType: envelope.PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}}}
}

func marshal(t *testing.T, b *protobundle.Bundle) []byte {
	t.Helper()
	data, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func ecdsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestASignatureByAKeyOfTheSecretIsGood(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ECDSA": ecdsaKey(t), "RSA": rsaKey, "Ed25519": edKey} {
		spec, secrets := byKey(t, ecdsaKey(t), key) // the second of two
		tagged := newRegistry()
		subject := tagged.artifact(t, "a")
		tagged.tagged(t, subject.Digest.String(), signed(t, tagged, ecdsaKey(t), payload(subject.Digest.String())), signed(t, tagged, key, payload(subject.Digest.String())))
		if whose, err := image(t, tagged, subject, spec, secrets); err != nil || whose != "cosign, key 1.pub" {
			t.Errorf("%s by tag: %q, error %v", name, whose, err)
		}
		bundled := newRegistry()
		subject = bundled.artifact(t, "a")
		bundled.refers(t, subject.Digest.String(), bundleType, bundled.blob(bundleType, keyBundle(t, key, statement(subject.Digest.String())), nil))
		if whose, err := image(t, bundled, subject, spec, secrets); err != nil || whose != "cosign, key 1.pub" {
			t.Errorf("%s by bundle: %q, error %v", name, whose, err)
		}
	}
}

func TestASignatureThatIsNotByAKeyOrNotOfTheDigestIsRefused(t *testing.T) {
	t.Parallel()
	key, other := ecdsaKey(t), ecdsaKey(t)
	spec, secrets := byKey(t, key)
	for name, test := range map[string]struct {
		sign func(t *testing.T, r *registry, digest string)
		says string
	}{
		"none": {func(*testing.T, *registry, string) {}, "there is no signature of"},
		"of another key": {func(t *testing.T, r *registry, digest string) {
			r.tagged(t, digest, signed(t, r, other, payload(digest)))
		}, "1 looked at: the signature is by another key, or not of what it goes with"},
		"of another artifact": {func(t *testing.T, r *registry, digest string) {
			r.tagged(t, digest, signed(t, r, key, payload(r.artifact(t, "other").Digest.String())))
		}, "the signature is of another digest, sha256:"},
		"of another repository's artifact": {func(t *testing.T, r *registry, digest string) {
			from := newRegistry()
			from.name = "registry.example.com/other"
			layer := signed(t, from, key, payload(from.artifact(t, "elsewhere").Digest.String()))
			r.blobs[layer.Digest] = from.blobs[layer.Digest]
			r.tagged(t, digest, layer)
		}, "the signature is of another digest"},
		"of a payload that was changed": {func(t *testing.T, r *registry, digest string) {
			layer := signed(t, r, key, payload("sha256:0000"))
			changed := r.blob(payloadType, payload(digest), layer.Annotations)
			r.tagged(t, digest, changed)
		}, "not of what it goes with"},
		"of something else": {func(t *testing.T, r *registry, digest string) {
			r.tagged(t, digest, signed(t, r, key, []byte(`{"critical":{"type":"mail","image":{"docker-manifest-digest":"`+digest+`"}}}`)))
		}, "what is signed is no artifact"},
		"no base64": {func(t *testing.T, r *registry, digest string) {
			r.tagged(t, digest, r.blob(payloadType, payload(digest), map[string]string{"dev.cosignproject.cosign/signature": "?"}))
		}, "a signature is broken"},
		"no manifest": {func(_ *testing.T, r *registry, digest string) {
			r.manifests[strings.Replace(digest, ":", "-", 1)+".sig"] = []byte("[")
		}, "its manifest is broken"},
		"a huge manifest": {func(_ *testing.T, r *registry, digest string) {
			r.manifests[strings.Replace(digest, ":", "-", 1)+".sig"] = []byte(`{"layers":[` + strings.Repeat("{},", 400_000) + `{}]}`)
		}, "its manifest has more than 1 MiB"},
		"a huge bundle": {func(t *testing.T, r *registry, digest string) {
			r.refers(t, digest, bundleType, r.blob(bundleType, append(keyBundle(t, key, statement(digest)), make([]byte, 512<<10)...), nil))
		}, "a bundle has more than 512 KiB"},
		"a huge payload": {func(t *testing.T, r *registry, digest string) {
			r.tagged(t, digest, signed(t, r, key, append(payload(digest), make([]byte, 64<<10)...)))
		}, "more than 64 KiB"},
		"a bundle of another key": {func(t *testing.T, r *registry, digest string) {
			r.refers(t, digest, bundleType, r.blob(bundleType, keyBundle(t, other, statement(digest)), nil))
		}, "a bundle is not by one of these keys, or of another digest"},
		"a bundle of another artifact": {func(t *testing.T, r *registry, digest string) {
			r.refers(t, digest, bundleType, r.blob(bundleType, keyBundle(t, key, statement(r.artifact(t, "other").Digest.String())), nil))
		}, "of another digest"},
		"a bundle of the key that says something else of it": {func(t *testing.T, r *registry, digest string) {
			r.refers(t, digest, bundleType, r.blob(bundleType, keyBundle(t, key, attested(digest)), nil))
		}, "a bundle is an attestation about the artifact, which is no signature of it"},
		"a bundle that is broken": {func(t *testing.T, r *registry, digest string) {
			r.refers(t, digest, bundleType, r.blob(bundleType, []byte(`{"mediaType":"`+bundleType+`","verificationMaterial":{},"dsseEnvelope":{}}`), nil))
		}, "a bundle is not by one of these keys"},
		"too many": {func(t *testing.T, r *registry, digest string) {
			layers := make([]ocispec.Descriptor, 60)
			for i := range layers {
				layers[i] = signed(t, r, other, payload(digest))
			}
			layers = append(layers, signed(t, r, key, payload(digest)))
			r.tagged(t, digest, layers...)
		}, "no more than 50 are looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry()
			subject := r.artifact(t, "a")
			test.sign(t, r, subject.Digest.String())
			whose, err := image(t, r, subject, spec, secrets)
			refused(t, whose, err, source.KindSignature, test.says, subject.Digest.String(), "one by a key of spec.verify.secretRef (0.pub) is expected")
		})
	}
}

// hostileRegistry has what a library is not ready for.
type hostileRegistry struct{ *registry }

func (hostileRegistry) ReadBlob(context.Context, ocispec.Descriptor, int64) ([]byte, error) {
	panic("text of the signature's")
}

func TestASignatureThatALibraryIsNotReadyForIsRefused(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	subject := r.artifact(t, "a")
	key := ecdsaKey(t)
	r.tagged(t, subject.Digest.String(), signed(t, r, key, payload(subject.Digest.String())))
	spec, secrets := byKey(t, key)
	whose, err := verifier(t, nil).Image(t.Context(), u, hostileRegistry{r}, subject.Digest.String(), spec, secrets)
	refused(t, whose, err, source.KindSignature, "could not be verified", subject.Digest.String())
	if strings.Contains(err.Error(), "text of") {
		t.Errorf("error %v shows what it is not to", err)
	}
}

func TestASecretWithoutAKeyIsRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	subject := r.artifact(t, "a")
	spec := flux.OCIVerify{SecretRef: &flux.SecretRef{Name: "keys"}}
	for says, secret := range map[string]map[string][]byte{
		"the Secret has no public key":                             {"cosign.key": []byte("canary")},
		"cosign.pub of the Secret is not a public key in PEM form": {"cosign.pub": []byte("canary")},
	} {
		whose, err := image(t, r, subject, spec, source.Secrets{"verify.secretRef": secret})
		refused(t, whose, err, source.KindSignature, says)
	}
}
