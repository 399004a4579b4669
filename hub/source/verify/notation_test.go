package verify_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/verify"
	"flotilla.dev/flotilla/pkg/flux"
)

const notationType = "application/vnd.cncf.notary.signature"

// authority is a certificate authority, and one of its certificates for signing.
type authority struct {
	root, leaf *x509.Certificate
	key        crypto.Signer
}

// newAuthority dates the certificate for signing; revocation is where it says that lists are.
func newAuthority(t *testing.T, from, until time.Time, revocation ...string) authority {
	t.Helper()
	rootKey, leafKey := ecdsaKey(t), ecdsaKey(t)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root", Organization: []string{"Example"}, Country: []string{"DE"}, Province: []string{"BE"}},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "signer", Organization: []string{"Example"}, Country: []string{"DE"}, Province: []string{"BE"}},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		CRLDistributionPoints: revocation,
	}
	a := authority{key: leafKey}
	a.root = issue(t, root, root, rootKey.Public(), rootKey)
	a.leaf = issue(t, leaf, a.root, leafKey.Public(), rootKey)
	return a
}

func issue(t *testing.T, template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func valid(t *testing.T) authority {
	return newAuthority(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// sign signs as `notation sign` does.
func (a authority) sign(t *testing.T, subject ocispec.Descriptor) []byte {
	t.Helper()
	s, err := signer.NewGenericSigner(a.key, []*x509.Certificate{a.leaf, a.root})
	if err != nil {
		t.Fatal(err)
	}
	envelope, _, err := s.Sign(t.Context(), subject, notation.SignerSignOptions{SignatureMediaType: jws.MediaTypeEnvelope})
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// signAt signs at another time than now.
func (a authority) signAt(t *testing.T, subject ocispec.Descriptor, at time.Time) []byte {
	t.Helper()
	content, err := json.Marshal(map[string]any{"targetArtifact": subject})
	if err != nil {
		t.Fatal(err)
	}
	local, err := signature.NewLocalSigner([]*x509.Certificate{a.leaf, a.root}, a.key)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := signature.NewEnvelope(jws.MediaTypeEnvelope)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := envelope.Sign(&signature.SignRequest{
		Payload: signature.Payload{ContentType: "application/vnd.cncf.notary.payload.v1+json", Content: content},
		Signer:  local, SigningTime: at, SigningScheme: signature.SigningSchemeX509,
	})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// trusting is a spec that trusts the authority for scopes at a level.
func (a authority) trusting(level string, scopes ...string) (flux.OCIVerify, source.Secrets) {
	list, _ := json.Marshal(scopes)
	policy := fmt.Sprintf(`{"version":"1.0","trustPolicies":[{"name":"p","registryScopes":%s,"signatureVerification":{"level":%q},"trustStores":["ca:any"],"trustedIdentities":["*"]}]}`, list, level)
	return flux.OCIVerify{Provider: flux.Notation, SecretRef: &flux.SecretRef{Name: "trust"}}, source.Secrets{"verify.secretRef": {
		"trustpolicy.json": []byte(policy), "ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw}),
	}}
}

func (r *registry) notation(t *testing.T, subject ocispec.Descriptor, envelope []byte) {
	t.Helper()
	r.refers(t, subject.Digest.String(), notationType, r.blob(jws.MediaTypeEnvelope, envelope, nil))
}

func TestASignatureOfNotationThatThePolicyTrustsIsGood(t *testing.T) {
	t.Parallel()
	a := valid(t)
	for _, scope := range []string{"*", "registry.example.com/apps/podinfo"} {
		r := newRegistry()
		subject := r.artifact(t, "a")
		r.notation(t, subject, valid(t).sign(t, subject)) // another's goes before it
		r.notation(t, subject, a.sign(t, subject))
		spec, secrets := a.trusting("strict", scope)
		if whose, err := image(t, r, subject, spec, secrets); err != nil || !strings.HasPrefix(whose, "notation, CN=signer,") {
			t.Errorf("scope %s: %q, error %v", scope, whose, err)
		}
	}
}

func TestASignatureOfNotationThatThePolicyDoesNotTrustIsRefused(t *testing.T) {
	t.Parallel()
	a, expired := valid(t), newAuthority(t, time.Now().Add(-24*time.Hour), time.Now().Add(-time.Hour))
	for name, test := range map[string]struct {
		by    authority // whom the policy trusts
		scope string
		sign  func(t *testing.T, r *registry, subject ocispec.Descriptor)
		says  string
	}{
		"none":                {a, "*", func(*testing.T, *registry, ocispec.Descriptor) {}, "there is no signature of"},
		"another authority's": {a, "*", func(t *testing.T, r *registry, d ocispec.Descriptor) { r.notation(t, d, valid(t).sign(t, d)) }, "1 looked at: not by a certificate that trustpolicy.json trusts"},
		"another artifact's": {a, "*", func(t *testing.T, r *registry, d ocispec.Descriptor) {
			r.notation(t, d, a.sign(t, r.artifact(t, "other")))
		}, "or of another digest"},
		"changed": {a, "*", func(t *testing.T, r *registry, d ocispec.Descriptor) {
			r.notation(t, d, []byte(strings.Replace(string(a.sign(t, d)), `"payload":"`, `"payload":"A`, 1)))
		}, "1 looked at"},
		"by a certificate that has expired": {expired, "*", func(t *testing.T, r *registry, d ocispec.Descriptor) {
			r.notation(t, d, expired.signAt(t, d, time.Now().Add(-2*time.Hour)))
		}, "at its time"},
		"of another repository": {a, "registry.example.com/apps/other", func(t *testing.T, r *registry, d ocispec.Descriptor) { r.notation(t, d, a.sign(t, d)) }, "no statement of trustpolicy.json has a registry scope for registry.example.com/apps/podinfo"},
		"broken":                {a, "*", func(t *testing.T, r *registry, d ocispec.Descriptor) { r.notation(t, d, []byte("{")) }, "1 looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry()
			subject := r.artifact(t, "a")
			test.sign(t, r, subject)
			spec, secrets := test.by.trusting("strict", test.scope)
			whose, err := image(t, r, subject, spec, secrets)
			refused(t, whose, err, source.KindSignature, test.says)
		})
	}
}

func TestAPolicyThatLetsPassVerifiesNobody(t *testing.T) {
	t.Parallel()
	a := valid(t)
	for level, sign := range map[string]bool{"skip": false, "audit": true} {
		r := newRegistry()
		subject := r.artifact(t, "a")
		if sign {
			r.notation(t, subject, valid(t).sign(t, subject))
		}
		spec, secrets := a.trusting(level, "*")
		if whose, err := image(t, r, subject, spec, secrets); err != nil || whose != "" {
			t.Errorf("%s: %q, error %v", level, whose, err)
		}
	}
}

func TestASecretOfNotationThatLacksSomethingIsRefused(t *testing.T) {
	t.Parallel()
	a, r := valid(t), newRegistry()
	subject := r.artifact(t, "a")
	for says, change := range map[string]func(secret map[string][]byte){
		"the Secret has no trustpolicy.json":                 func(s map[string][]byte) { delete(s, "trustpolicy.json") },
		"trustpolicy.json of the Secret is not JSON":         func(s map[string][]byte) { s["trustpolicy.json"] = []byte("canary") },
		"trustpolicy.json of the Secret is not a good trust": func(s map[string][]byte) { s["trustpolicy.json"] = []byte("{}") },
		"the Secret has no certificate":                      func(s map[string][]byte) { delete(s, "ca.crt") },
		"other.pem of the Secret holds no certificate":       func(s map[string][]byte) { s["other.pem"] = []byte("canary") },
	} {
		spec, secrets := a.trusting("strict", "*")
		change(secrets["verify.secretRef"])
		whose, err := image(t, r, subject, spec, secrets)
		refused(t, whose, err, source.KindSignature, says)
	}
}

// Where a certificate says that its revocation is asked for is anybody's to say: it goes by the hub's own client.
func TestRevocationIsAskedForByTheHubsClientAlone(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the address was reached") }))
	t.Cleanup(trap.Close)
	a := newAuthority(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), trap.URL+"/list.crl")
	r := newRegistry()
	subject := r.artifact(t, "a")
	r.notation(t, subject, a.sign(t, subject))
	v, err := verify.New(verify.Config{HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		asked.Add(1)
		return nil, fmt.Errorf("forbidden")
	})}})
	if err != nil {
		t.Fatal(err)
	}
	spec, secrets := a.trusting("strict", "*")
	whose, err := v.Image(t.Context(), u, r, subject.Digest.String(), spec, secrets)
	refused(t, whose, err, source.KindSignature, "revoked")
	if asked.Load() == 0 {
		t.Error("nobody was asked")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
