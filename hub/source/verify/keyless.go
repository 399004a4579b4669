package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// keyless judges by certificates for identities, which a trusted root vouches for.
type keyless struct {
	trusted    root.TrustedMaterial
	identities []flux.OIDCIdentity
	policies   []verify.PolicyOption
}

// keyless goes by the trusted root of the Secret, or the hub's. None is fetched: what is trusted does not change with what
// somebody serves.
func (v *Verifier) keyless(u source.Upstream, spec flux.OCIVerify, secret map[string][]byte) (*keyless, error) {
	k := &keyless{identities: spec.MatchOIDCIdentity}
	switch {
	case spec.TrustedRootSecretRef != nil:
		data, there := secret["trusted_root.json"]
		if !there {
			return nil, badSecret(u, "trustedRootSecretRef", "the Secret has no trusted_root.json")
		}
		trusted, err := root.NewTrustedRootFromJSON(data)
		if err != nil {
			return nil, badSecret(u, "trustedRootSecretRef", "trusted_root.json of the Secret is not a trusted root of Sigstore")
		}
		k.trusted = trusted
	case v.trusted != nil:
		k.trusted = v.trusted
	default:
		return nil, u.Fail(source.KindSignature, "keyless signatures need to know whom to trust: name a Secret with trusted_root.json in spec.verify.trustedRootSecretRef, or have an administrator start the hub with --trusted-root FILE (the file that Sigstore publishes, for signatures by its public services)")
	}
	for _, identity := range spec.MatchOIDCIdentity {
		wanted, err := verify.NewShortCertificateIdentity("", identity.Issuer, "", identity.Subject)
		if err != nil {
			return nil, u.Fail(source.KindInvalid, "spec.verify.matchOIDCIdentity has what is not a regular expression")
		}
		k.policies = append(k.policies, verify.WithCertificateIdentity(wanted))
	}
	if len(k.policies) == 0 { // as in Flux: whoever has a certificate by the trusted root
		k.policies = []verify.PolicyOption{verify.WithoutIdentitiesUnsafe()}
	}
	return k, nil
}

func (k *keyless) expected() string {
	if len(k.identities) == 0 {
		return "a keyless one by the trusted root"
	}
	var names []string
	for _, identity := range k.identities {
		names = append(names, fmt.Sprintf("subject %s of issuer %s", source.Shown(identity.Subject), source.Shown(identity.Issuer)))
	}
	return "a keyless one by " + strings.Join(names, " or by ")
}

func (k *keyless) bundle(c *check, data []byte) (whose, why string) {
	result, err := verifyBundle(data, k.trusted, k.policies, c.sum)
	if errors.Is(err, errAttestation) {
		return "", attestation
	}
	return judged(result, err)
}

// payload makes a bundle of what cosign 2 has in annotations.
func (k *keyless) payload(_ *check, payload []byte, annotations map[string]string) (whose, why string) {
	b, err := annotated(payload, annotations)
	if err != nil {
		return "", "a signature has no certificate with an entry of a transparency log, or is broken"
	}
	result, err := verifyEntity(b, k.trusted, k.policies, verify.WithArtifact(bytes.NewReader(payload)))
	return judged(result, err)
}

// judged words what came out. Texts of the signature's are not passed on, but for the identity that the trusted root vouched
// for.
func judged(result *verify.VerificationResult, err error) (whose, why string) {
	var identity *verify.ErrNoMatchingCertificateIdentity
	switch {
	case errors.As(err, &identity):
		return "", "a signature is by another identity, " + source.Shown(mismatch(err))
	case err != nil:
		return "", "a signature is not by the trusted root at its time, not in its log, or of another digest"
	case result.Signature == nil || result.Signature.Certificate == nil:
		return "", "a signature is by a key"
	}
	certificate := result.Signature.Certificate
	return fmt.Sprintf("cosign keyless, %s of %s", source.Shown(certificate.SubjectAlternativeName), source.Shown(certificate.Issuer)), ""
}

// mismatch is what the certificate has where another was wanted.
func mismatch(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, `got "`); i >= 0 {
		return strings.TrimSuffix(text[i+len(`got "`):], `"`)
	}
	return "(unknown)"
}

// publicKey is material of one key that is good at any time.
func publicKey(verifier signature.Verifier) root.TrustedMaterial {
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
	})
}

// signPredicate is what the statement of a signature by cosign says of the artifact: nothing but that it is signed.
const signPredicate = "https://sigstore.dev/cosign/sign/v1"

// errAttestation is a bundle that says something else of the artifact than that it is signed. It may say that it is bad.
var errAttestation = errors.New("an attestation")

const attestation = "a bundle is an attestation about the artifact, which is no signature of it"

// verifyBundle verifies a bundle for a digest: by identities, or by a key where there are no policies.
func verifyBundle(data []byte, trusted root.TrustedMaterial, policies []verify.PolicyOption, sum []byte) (_ *verify.VerificationResult, err error) {
	defer recovered(&err)
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	result, err := verifyEntity(&b, trusted, policies, verify.WithArtifactDigest("sha256", sum))
	if err == nil && result.Statement != nil && result.Statement.GetPredicateType() != signPredicate {
		return nil, errAttestation
	}
	return result, err
}

// recovered makes an error of a panic. What a signature is made of is anybody's to push; a library that is not ready for it
// must not end the hub.
func recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = fmt.Errorf("verify a signature: %v", panicked)
	}
}

func verifyEntity(entity verify.SignedEntity, trusted root.TrustedMaterial, policies []verify.PolicyOption, of verify.ArtifactPolicyOption) (_ *verify.VerificationResult, err error) {
	defer recovered(&err)
	var options []verify.VerifierOption
	if policies == nil {
		policies = []verify.PolicyOption{verify.WithKey()}
		options = append(options, verify.WithNoObserverTimestamps())
	} else {
		options = append(options, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
		// A trusted root of one's own may have no log of certificates; one that has it is believed only with it.
		if len(trusted.CTLogs()) > 0 {
			options = append(options, verify.WithSignedCertificateTimestamps(1))
		}
	}
	verifier, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		return nil, err
	}
	return verifier.Verify(entity, verify.NewPolicy(of, policies...))
}

// The annotations of a keyless signature.
const (
	certificateNote = "dev.sigstore.cosign/certificate"
	logNote         = "dev.sigstore.cosign/bundle"
	timestampNote   = "dev.sigstore.cosign/rfc3161timestamp"
)

// annotated is the signature of a payload as a bundle.
func annotated(payload []byte, annotations map[string]string) (_ *bundle.Bundle, err error) {
	defer recovered(&err)
	signed, err := base64.StdEncoding.DecodeString(annotations[signatureNote])
	if err != nil {
		return nil, err
	}
	certificates, err := cryptoutils.UnmarshalCertificatesFromPEM([]byte(annotations[certificateNote]))
	if err != nil || len(certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	entry, err := logEntry(annotations[logNote])
	if err != nil {
		return nil, err
	}
	material := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: &protocommon.X509CertificateChain{
			Certificates: []*protocommon.X509Certificate{{RawBytes: certificates[0].Raw}},
		}},
		TlogEntries: []*protorekor.TransparencyLogEntry{entry},
	}
	if note := annotations[timestampNote]; note != "" {
		var stamp struct{ SignedRFC3161Timestamp []byte }
		if err := json.Unmarshal([]byte(note), &stamp); err != nil {
			return nil, err
		}
		material.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: stamp.SignedRFC3161Timestamp}},
		}
	}
	return bundle.NewBundle(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle+json;version=0.1",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum256(payload)},
			Signature:     signed,
		}},
	})
}

// logEntry is the entry of the transparency log that goes with a signature.
func logEntry(note string) (*protorekor.TransparencyLogEntry, error) {
	var entry struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	if err := json.Unmarshal([]byte(note), &entry); err != nil {
		return nil, err
	}
	var kind struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := json.Unmarshal(entry.Payload.Body, &kind); err != nil {
		return nil, err
	}
	log, err := hex.DecodeString(entry.Payload.LogID)
	if err != nil {
		return nil, err
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex: entry.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: log}, IntegratedTime: entry.Payload.IntegratedTime,
		KindVersion:       &protorekor.KindVersion{Kind: kind.Kind, Version: kind.Version},
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: entry.SignedEntryTimestamp},
		CanonicalizedBody: entry.Payload.Body,
	}, nil
}
