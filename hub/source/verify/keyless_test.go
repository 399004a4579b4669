package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

const (
	subjectName = "https://github.com/example/podinfo/.github/workflows/release.yaml@refs/tags/v1"
	issuerName  = "https://token.actions.githubusercontent.com"
)

// sigstore is a Sigstore of a test's own.
func sigstore(t *testing.T) *ca.VirtualSigstore {
	t.Helper()
	s, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trustedRoot is the file that trusts it; with a log of certificates if there is to be one.
func trustedRoot(t *testing.T, s *ca.VirtualSigstore, logs bool) []byte {
	t.Helper()
	rekor, ct := s.RekorLogs(), map[string]*root.TransparencyLog{}
	if logs {
		ct = s.CTLogs()
	}
	for _, all := range []map[string]*root.TransparencyLog{rekor, ct} {
		for id, log := range all {
			raw, err := hex.DecodeString(id)
			if err != nil {
				t.Fatal(err)
			}
			log.ID = raw
		}
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, s.FulcioCertificateAuthorities(), ct, s.TimestampingAuthorities(), rekor)
	if err != nil {
		t.Fatal(err)
	}
	data, err := trusted.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// annotated is a keyless signature as cosign 2 has it.
func annotated(t *testing.T, r *registry, s *ca.VirtualSigstore, subject, issuer string, content []byte, at time.Time) ocispec.Descriptor {
	t.Helper()
	entity, err := s.SignAtTime(subject, issuer, content, at)
	if err != nil {
		t.Fatal(err)
	}
	sig, _ := entity.SignatureContent()
	entries, _ := entity.TlogEntries()
	logged, promise := promised(t, s, entries[0])
	log, err := json.Marshal(map[string]any{"SignedEntryTimestamp": promise, "Payload": logged})
	if err != nil {
		t.Fatal(err)
	}
	return r.blob(payloadType, content, map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig.Signature()),
		"dev.sigstore.cosign/certificate":    certificate(t, entity),
		"dev.sigstore.cosign/bundle":         string(log),
	})
}

// promised is an entry with what the log signs of it.
func promised(t *testing.T, s *ca.VirtualSigstore, entry *tlog.Entry) (tlog.RekorPayload, []byte) {
	t.Helper()
	logged := tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(entry.TransparencyLogEntry().CanonicalizedBody), IntegratedTime: entry.IntegratedTime().Unix(),
		LogIndex: entry.LogIndex(), LogID: hex.EncodeToString([]byte(entry.LogKeyID())),
	}
	promise, err := s.RekorSignPayload(logged)
	if err != nil {
		t.Fatal(err)
	}
	return logged, promise
}

func certificate(t *testing.T, entity *ca.TestEntity) string {
	t.Helper()
	content, _ := entity.VerificationContent()
	pem, err := cryptoutils.MarshalCertificateToPEM(content.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem)
}

// keylessBundle is one as cosign 3 has it.
func keylessBundle(t *testing.T, s *ca.VirtualSigstore, subject, issuer string, body []byte, at time.Time) []byte {
	t.Helper()
	entity, err := s.AttestAtTime(subject, issuer, body, at, true)
	if err != nil {
		t.Fatal(err)
	}
	content, _ := entity.VerificationContent()
	sig, _ := entity.SignatureContent()
	entries, _ := entity.TlogEntries()
	stamps, _ := entity.Timestamps()
	material := &protobundle.VerificationMaterial{
		Content:                   &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: content.Certificate().Raw}},
		TimestampVerificationData: &protobundle.TimestampVerificationData{},
	}
	for _, entry := range entries {
		_, promise := promised(t, s, entry)
		logged := entry.TransparencyLogEntry()
		logged.KindVersion = &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"}
		logged.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: promise}
		material.TlogEntries = append(material.TlogEntries, logged)
	}
	for _, stamp := range stamps {
		material.TimestampVerificationData.Rfc3161Timestamps = append(material.TimestampVerificationData.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: stamp})
	}
	return marshal(t, &protobundle.Bundle{
		MediaType: bundleType, VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: enveloped(t, sig.EnvelopeContent().RawEnvelope())},
	})
}

func keyless(trusted []byte, identities ...flux.OIDCIdentity) (flux.OCIVerify, source.Secrets) {
	return flux.OCIVerify{Provider: flux.Cosign, MatchOIDCIdentity: identities, TrustedRootSecretRef: &flux.SecretRef{Name: "root"}},
		source.Secrets{"verify.trustedRootSecretRef": {"trusted_root.json": trusted}}
}

func inTime() time.Time { return time.Now().Add(5 * time.Minute) } // as the test's Sigstore dates its certificates

var wanted = flux.OIDCIdentity{Issuer: "^" + issuerName + "$", Subject: "^https://github.com/example/.*$"}

func TestAKeylessSignatureByAnIdentityThatMatchesIsGood(t *testing.T) {
	t.Parallel()
	s := sigstore(t)
	for name, sign := range map[string]func(r *registry, digest string){
		"by tag": func(r *registry, digest string) {
			r.tagged(t, digest, annotated(t, r, s, subjectName, issuerName, payload(digest), inTime()))
		},
		"by bundle": func(r *registry, digest string) {
			r.refers(t, digest, bundleType, r.blob(bundleType, keylessBundle(t, s, subjectName, issuerName, statement(digest), inTime()), nil))
		},
	} {
		for what, identities := range map[string][]flux.OIDCIdentity{
			"one of two": {{Issuer: "^https://other$", Subject: "^nobody$"}, wanted},
			"anybody":    nil,
		} {
			r := newRegistry()
			subject := r.artifact(t, "a")
			sign(r, subject.Digest.String())
			spec, secrets := keyless(trustedRoot(t, s, false), identities...)
			if whose, err := image(t, r, subject, spec, secrets); err != nil || whose != "cosign keyless, "+subjectName+" of "+issuerName {
				t.Errorf("%s, %s: %q, error %v", name, what, whose, err)
			}
			spec.TrustedRootSecretRef = nil
			if whose, err := verifier(t, trustedRoot(t, s, false)).Image(t.Context(), u, r, subject.Digest.String(), spec, nil); err != nil || whose == "" {
				t.Errorf("%s, %s, by the hub's root: %q, error %v", name, what, whose, err)
			}
		}
	}
}

func TestAKeylessSignatureThatIsNotToBeTrustedIsRefused(t *testing.T) {
	t.Parallel()
	s, foreign := sigstore(t), sigstore(t)
	for name, test := range map[string]struct {
		layer func(t *testing.T, r *registry, digest string) ocispec.Descriptor
		logs  bool
		says  string
	}{
		"another subject": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			return annotated(t, r, s, "https://github.com/evil/podinfo", issuerName, payload(digest), inTime())
		}, false, "a signature is by another identity, https://github.com/evil/podinfo"},
		"another issuer": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			return annotated(t, r, s, subjectName, "https://evil.example.com", payload(digest), inTime())
		}, false, "a signature is by another identity, https://evil.example.com"},
		"another authority": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			return annotated(t, r, foreign, subjectName, issuerName, payload(digest), inTime())
		}, false, "not by the trusted root"},
		"an expired certificate": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			return annotated(t, r, s, subjectName, issuerName, payload(digest), time.Now().Add(50*time.Minute))
		}, false, "not by the trusted root at its time"},
		"no entry in the log of certificates": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			return annotated(t, r, s, subjectName, issuerName, payload(digest), inTime())
		}, true, "not in its log"},
		"another artifact": {func(t *testing.T, r *registry, _ string) ocispec.Descriptor {
			return annotated(t, r, s, subjectName, issuerName, payload(r.artifact(t, "other").Digest.String()), inTime())
		}, false, "the signature is of another digest"},
		"a payload that was changed": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			layer := annotated(t, r, s, subjectName, issuerName, payload("sha256:00"), inTime())
			return r.blob(payloadType, payload(digest), layer.Annotations)
		}, false, "or of another digest"},
		"the log entry of another signature": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			layer := annotated(t, r, s, subjectName, issuerName, payload(digest), inTime())
			other := annotated(t, r, s, subjectName, issuerName, payload("sha256:00"), inTime())
			layer.Annotations["dev.sigstore.cosign/bundle"] = other.Annotations["dev.sigstore.cosign/bundle"]
			return layer
		}, false, "not in its log"},
		"no log entry": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			layer := annotated(t, r, s, subjectName, issuerName, payload(digest), inTime())
			delete(layer.Annotations, "dev.sigstore.cosign/bundle")
			return layer
		}, false, "has no certificate with an entry of a transparency log"},
		"a key's": {func(t *testing.T, r *registry, digest string) ocispec.Descriptor {
			return signed(t, r, ecdsaKey(t), payload(digest))
		}, false, "has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry()
			subject := r.artifact(t, "a")
			r.tagged(t, subject.Digest.String(), test.layer(t, r, subject.Digest.String()))
			spec, secrets := keyless(trustedRoot(t, s, test.logs), wanted)
			whose, err := image(t, r, subject, spec, secrets)
			refused(t, whose, err, source.KindSignature, test.says, "a keyless one by subject "+strings.ReplaceAll(wanted.Subject, `\`, `\\`)+" of issuer")
		})
	}
	for name, bundle := range map[string]func(digest string) []byte{
		"another subject's bundle": func(digest string) []byte {
			return keylessBundle(t, s, "evil@example.com", issuerName, statement(digest), inTime())
		},
		"another authority's bundle": func(digest string) []byte {
			return keylessBundle(t, foreign, subjectName, issuerName, statement(digest), inTime())
		},
		"another artifact's bundle": func(string) []byte {
			return keylessBundle(t, s, subjectName, issuerName, statement(fmt.Sprintf("sha256:%064d", 1)), inTime())
		},
		"an attestation about the artifact": func(digest string) []byte {
			return keylessBundle(t, s, subjectName, issuerName, attested(digest), inTime())
		},
		"an expired bundle": func(digest string) []byte {
			return keylessBundle(t, s, subjectName, issuerName, statement(digest), time.Now().Add(50*time.Minute))
		},
		"a key's bundle": func(digest string) []byte { return keyBundle(t, ecdsaKey(t), statement(digest)) },
		"no bundle":      func(string) []byte { return []byte("{}") },
	} {
		r := newRegistry()
		subject := r.artifact(t, "a")
		r.refers(t, subject.Digest.String(), bundleType, r.blob(bundleType, bundle(subject.Digest.String()), nil))
		spec, secrets := keyless(trustedRoot(t, s, false), wanted)
		if whose, err := image(t, r, subject, spec, secrets); source.KindOf(err) != source.KindSignature || whose != "" {
			t.Errorf("%s: %q, error %v", name, whose, err)
		}
	}
}

func TestWithoutATrustedRootItIsSaidWhatToDo(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	subject := r.artifact(t, "a")
	whose, err := image(t, r, subject, flux.OCIVerify{MatchOIDCIdentity: []flux.OIDCIdentity{wanted}}, nil)
	refused(t, whose, err, source.KindSignature, "spec.verify.trustedRootSecretRef", "--trusted-root FILE")
	spec, secrets := keyless([]byte("canary"), wanted)
	whose, err = image(t, r, subject, spec, secrets)
	refused(t, whose, err, source.KindSignature, "spec.verify.trustedRootSecretRef: trusted_root.json of the Secret is not a trusted root of Sigstore")
	if len(r.asked) != 0 {
		t.Errorf("the registry was asked for %v", r.asked)
	}
}
