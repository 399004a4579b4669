package verify

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// What cosign has in registries.
const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	payloadType   = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureNote = "dev.cosignproject.cosign/signature"
)

// Bounds of what is looked at: whoever may push to the repository may push signatures.
const (
	maxSignatures = 50
	maxBundle     = 512 << 10
	maxPayload    = 64 << 10
)

// judge decides on signatures: by keys, or keyless.
type judge interface {
	// bundle says whose a good bundle's signature is; why it is not good otherwise.
	bundle(c *check, data []byte) (whose, why string)
	// payload does the same for a payload that is signed as the annotations of its layer say.
	payload(c *check, payload []byte, annotations map[string]string) (whose, why string)
	// expected are the words for what a good signature is.
	expected() string
}

// cosign looks for a signature, first among bundles (cosign 3), then by the tag that older versions use. One that is good is
// enough.
func (v *Verifier) cosign(ctx context.Context, c check, spec flux.OCIVerify, secrets source.Secrets) (string, error) {
	var by judge
	var err error
	if spec.SecretRef != nil {
		by, err = keysOf(c.upstream, secrets["verify.secretRef"])
	} else {
		by, err = v.keyless(c.upstream, spec, secrets["verify.trustedRootSecretRef"])
	}
	if err != nil {
		return "", err
	}
	for _, look := range []func(context.Context, *check, judge) (string, error){bundles, tagged} {
		whose, err := look(ctx, &c, by)
		if err != nil || whose != "" {
			return whose, err
		}
	}
	return "", c.none(by.expected())
}

// bundles are manifests that refer to the artifact.
func bundles(ctx context.Context, c *check, by judge) (string, error) {
	referrers, err := c.registry.Referrers(ctx, c.digest, bundleType)
	if err != nil {
		return "", err
	}
	for _, referrer := range referrers {
		manifest, err := signatureManifest(ctx, c, referrer.Digest.String())
		if err != nil {
			return "", err
		}
		if manifest == nil || len(manifest.Layers) == 0 {
			continue
		}
		if c.seen++; c.seen > maxSignatures {
			c.flaw(fmt.Sprintf("no more than %d are looked at", maxSignatures))
			return "", nil
		}
		if manifest.Layers[0].Size > maxBundle {
			c.flaw(fmt.Sprintf("a bundle has more than %d KiB", maxBundle>>10))
			continue
		}
		data, err := c.registry.ReadBlob(ctx, manifest.Layers[0], maxBundle)
		if err != nil {
			return "", err
		}
		whose, why := by.bundle(c, data)
		if whose != "" {
			return whose, nil
		}
		c.flaw(why)
	}
	return "", nil
}

// tagged are the layers of the manifest that has the artifact's digest as its tag.
func tagged(ctx context.Context, c *check, by judge) (string, error) {
	manifest, err := signatureManifest(ctx, c, strings.Replace(c.digest, ":", "-", 1)+".sig")
	if err != nil || manifest == nil {
		return "", err
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType != payloadType {
			continue
		}
		if c.seen++; c.seen > maxSignatures {
			c.flaw(fmt.Sprintf("no more than %d are looked at", maxSignatures))
			return "", nil
		}
		if layer.Size > maxPayload {
			c.flaw(fmt.Sprintf("what is signed has more than %d KiB", maxPayload>>10))
			continue
		}
		payload, err := c.registry.ReadBlob(ctx, layer, maxPayload)
		if err != nil {
			return "", err
		}
		whose, why := by.payload(c, payload, layer.Annotations)
		if whose != "" {
			if why = c.claim(payload); why == "" {
				return whose, nil
			}
		}
		c.flaw(why)
	}
	return "", nil
}

// signatureManifest returns nil for one that is not there, or is none.
func signatureManifest(ctx context.Context, c *check, reference string) (*manifest, error) {
	_, raw, err := c.registry.Raw(ctx, reference)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw)
	if err != nil {
		c.seen++
		c.flaw(err.Error())
		return nil, nil
	}
	return m, nil
}

// claim says what is wrong with what was signed, empty: it is the artifact. The name that it was signed by does not count, as
// in cosign: artifacts are copied from registry to registry with their signatures.
func (c *check) claim(payload []byte) string {
	var signed struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	switch err := json.Unmarshal(payload, &signed); {
	case err != nil, signed.Critical.Type != "cosign container image signature" && signed.Critical.Type != signPredicate:
		return "what is signed is no artifact"
	case signed.Critical.Image.Digest != c.digest:
		return "the signature is of another digest, " + source.Shown(signed.Critical.Image.Digest)
	}
	return ""
}

// keys judge by public keys.
type keys struct {
	names     []string
	verifiers map[string]signature.Verifier
}

// keysOf are the *.pub of a Secret.
func keysOf(u source.Upstream, secret map[string][]byte) (*keys, error) {
	k := &keys{verifiers: map[string]signature.Verifier{}}
	for _, name := range slices.Sorted(maps.Keys(secret)) {
		if !strings.HasSuffix(name, ".pub") {
			continue
		}
		key, err := cryptoutils.UnmarshalPEMToPublicKey(secret[name])
		if err != nil {
			return nil, badSecret(u, "secretRef", "%s of the Secret is not a public key in PEM form", source.Shown(name))
		}
		verifier, err := signature.LoadVerifier(key, crypto.SHA256)
		if err != nil {
			return nil, badSecret(u, "secretRef", "the key %s of the Secret is of a kind that is not supported (ECDSA, RSA and Ed25519 are)", source.Shown(name))
		}
		k.names = append(k.names, name)
		k.verifiers[name] = verifier
	}
	if len(k.names) == 0 {
		return nil, badSecret(u, "secretRef", "the Secret has no public key; put it in under a name that ends in .pub")
	}
	return k, nil
}

func (k *keys) expected() string {
	return "one by a key of spec.verify.secretRef (" + source.Shown(strings.Join(k.names, ", ")) + ")"
}

func (k *keys) payload(_ *check, payload []byte, annotations map[string]string) (whose, why string) {
	signed, err := base64.StdEncoding.DecodeString(annotations[signatureNote])
	if err != nil || len(signed) == 0 {
		return "", "a signature is broken"
	}
	for _, name := range k.names {
		if k.verifiers[name].VerifySignature(bytes.NewReader(signed), bytes.NewReader(payload)) == nil {
			return "cosign, key " + name, ""
		}
	}
	return "", "the signature is by another key, or not of what it goes with"
}

func (k *keys) bundle(c *check, data []byte) (whose, why string) {
	for _, name := range k.names {
		result, err := verifyBundle(data, publicKey(k.verifiers[name]), nil, c.sum)
		if err == nil && result != nil {
			return "cosign, key " + name, ""
		}
		if errors.Is(err, errAttestation) {
			return "", attestation
		}
	}
	return "", "a bundle is not by one of these keys, or of another digest"
}
