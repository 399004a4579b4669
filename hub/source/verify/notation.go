package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/notaryproject/notation-core-go/revocation"
	"github.com/notaryproject/notation-core-go/revocation/crl"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	_ "github.com/notaryproject/notation-core-go/signature/cose" // the forms of signatures
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
)

// notationType is what signatures of notation are in a registry.
const notationType = "application/vnd.cncf.notary.signature"

// policyFile is the key of the trust policy in the Secret.
const policyFile = "trustpolicy.json"

// notation verifies by the trust policy and the certificates of the Secret. Revocation is asked for as the policy says.
func (v *Verifier) notation(ctx context.Context, c check, secrets source.Secrets) (string, error) {
	u := c.upstream
	secret := secrets["verify.secretRef"]
	policy, err := policyOf(u, secret)
	if err != nil {
		return "", err
	}
	trusted, err := certificatesOf(u, secret)
	if err != nil {
		return "", err
	}
	options, err := v.revocation()
	if err != nil {
		return "", err
	}
	by, err := verifier.NewWithOptions(policy, trusted, nil, options)
	if err != nil {
		return "", badSecret(u, "secretRef", "%s of the Secret is not a good trust policy: %s", policyFile, source.Shown(err.Error()))
	}
	signatures := &signatures{check: &c}
	_, outcomes, err := notation.Verify(ctx, by, signatures, notation.VerifyOptions{
		ArtifactReference: c.registry.Name() + "@" + c.digest, MaxSignatureAttempts: maxSignatures,
	})
	if signatures.err != nil {
		return "", signatures.err
	}
	var noPolicy notation.NoApplicableTrustPolicyError
	if errors.As(err, &noPolicy) {
		return "", u.Fail(source.KindSignature, "no statement of %s has a registry scope for %s", policyFile, c.registry.Name())
	}
	if err != nil || len(outcomes) == 0 {
		c.flaw("not by a certificate that " + policyFile + " trusts at its time, revoked, or of another digest")
		return "", c.none("one by notation that " + policyFile + " of spec.verify.secretRef trusts")
	}
	return signer(outcomes[0]), nil
}

// signer is who signed; nobody where the policy lets pass what is not authentic, or asks for nothing.
func signer(outcome *notation.VerificationOutcome) string {
	if outcome.EnvelopeContent == nil {
		return ""
	}
	for _, result := range outcome.VerificationResults {
		if result.Error != nil && result.Type == trustpolicy.TypeAuthenticity {
			return ""
		}
	}
	whose := "notation"
	if chain := outcome.EnvelopeContent.SignerInfo.CertificateChain; len(chain) > 0 {
		whose += ", " + source.Shown(chain[0].Subject.String())
	}
	return whose
}

// revocation asks by the hub's HTTP, at addresses that certificates name.
func (v *Verifier) revocation() (verifier.VerifierOptions, error) {
	client := *v.http
	client.Timeout = revocationTime
	fetcher, err := crl.NewHTTPFetcher(&client)
	if err != nil {
		return verifier.VerifierOptions{}, err
	}
	validator := func(p purpose.Purpose, client *http.Client) (revocation.Validator, error) {
		return revocation.NewWithOptions(revocation.Options{OCSPHTTPClient: client, CRLFetcher: fetcher, CertChainPurpose: p})
	}
	code, err := validator(purpose.CodeSigning, &client)
	if err != nil {
		return verifier.VerifierOptions{}, err
	}
	stamps, err := validator(purpose.Timestamping, &client)
	if err != nil {
		return verifier.VerifierOptions{}, err
	}
	return verifier.VerifierOptions{RevocationCodeSigningValidator: code, RevocationTimestampingValidator: stamps}, nil
}

const revocationTime = 5 * time.Second

// policyOf is the trust policy of the Secret. As in Flux, a statement that asks for nothing may name trust stores.
func policyOf(u source.Upstream, secret map[string][]byte) (*trustpolicy.Document, error) {
	data, there := secret[policyFile]
	if !there {
		return nil, badSecret(u, "secretRef", "the Secret has no %s", policyFile)
	}
	var policy trustpolicy.Document
	if json.Unmarshal(data, &policy) != nil {
		return nil, badSecret(u, "secretRef", "%s of the Secret is not JSON of a trust policy", policyFile)
	}
	for i, statement := range policy.TrustPolicies {
		if statement.SignatureVerification.VerificationLevel == trustpolicy.LevelSkip.Name {
			policy.TrustPolicies[i].TrustStores, policy.TrustPolicies[i].TrustedIdentities = []string{}, []string{}
		}
	}
	return &policy, nil
}

// certificates are a trust store in memory: whatever a policy calls its stores, they hold these.
type certificates []*x509.Certificate

var _ truststore.X509TrustStore = certificates{}

// GetCertificates implements truststore.X509TrustStore.
func (c certificates) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return slices.Clone(c), nil
}

// certificatesOf are the .crt and .pem of the Secret, in PEM or DER form.
func certificatesOf(u source.Upstream, secret map[string][]byte) (certificates, error) {
	var found certificates
	for _, name := range slices.Sorted(maps.Keys(secret)) {
		if !strings.HasSuffix(name, ".crt") && !strings.HasSuffix(name, ".pem") {
			continue
		}
		raw := secret[name]
		if block, rest := pem.Decode(raw); block != nil {
			for raw = nil; block != nil; block, rest = pem.Decode(rest) {
				raw = append(raw, block.Bytes...)
			}
		}
		parsed, err := x509.ParseCertificates(raw)
		if err != nil || len(parsed) == 0 {
			return nil, badSecret(u, "secretRef", "%s of the Secret holds no certificate", source.Shown(name))
		}
		found = append(found, parsed...)
	}
	if len(found) == 0 {
		return nil, badSecret(u, "secretRef", "the Secret has no certificate; put it in under a name that ends in .crt or .pem")
	}
	return found, nil
}

// signatures are those of a registry, as notation asks for them.
type signatures struct {
	check *check
	err   error // of the registry
}

// Resolve implements registry.Repository.
func (s *signatures) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	d, _, err := s.check.registry.Raw(ctx, reference)
	return d, s.note(err)
}

// ListSignatures implements registry.Repository.
func (s *signatures) ListSignatures(ctx context.Context, _ ocispec.Descriptor, fn func([]ocispec.Descriptor) error) error {
	found, err := s.check.registry.Referrers(ctx, s.check.digest, notationType)
	if err != nil {
		return s.note(err)
	}
	return fn(found)
}

// FetchSignatureBlob implements registry.Repository.
func (s *signatures) FetchSignatureBlob(ctx context.Context, d ocispec.Descriptor) ([]byte, ocispec.Descriptor, error) {
	s.check.seen++
	_, raw, err := s.check.registry.Raw(ctx, d.Digest.String())
	if err != nil {
		return nil, ocispec.Descriptor{}, s.note(err)
	}
	manifest, err := parseManifest(raw)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	if len(manifest.Layers) != 1 {
		return nil, ocispec.Descriptor{}, errors.New("the manifest of a signature has not one layer")
	}
	blob, err := s.check.registry.ReadBlob(ctx, manifest.Layers[0], maxBundle)
	return blob, manifest.Layers[0], s.note(err)
}

// PushSignature implements registry.Repository. The hub signs nothing.
func (s *signatures) PushSignature(context.Context, string, []byte, ocispec.Descriptor, map[string]string) (blob, manifest ocispec.Descriptor, err error) {
	return blob, manifest, errors.New("the hub pushes no signatures")
}

// note keeps an error of the registry, which the library would turn into text.
func (s *signatures) note(err error) error {
	if err != nil && s.err == nil {
		s.err = err
	}
	return err
}

func sum256(data []byte) []byte {
	sum := sha256.Sum256(data)
	return bytes.Clone(sum[:])
}
