package release

import (
	"fmt"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// sourceSpec is what the loop needs of the spec of a Source, whatever its kind.
type sourceSpec struct {
	// plain is the kind's spec with all that no artifact follows from made equal: how often and how long upstream is asked,
	// and what Secrets are called.
	plain any
	// url of upstream; empty: that of the Source that it is made of.
	url string
	// interval is the time between two looks, timeout what each of them may take; zero: as with the Source that it is made
	// of.
	interval, timeout time.Duration
	suspend           bool
	// static Sources say where others are; nothing is fetched of them (source.Static).
	static bool
	// insecure: the url does not say that it is of HTTP.
	insecure bool
	// provider of the hub's own identity at a cloud; empty: none.
	provider string
	// login: it says how to log in elsewhere than with a Secret for its url.
	login bool
	// connection are the fields, beside those that name Secrets, that say how what the url names is connected to and whom a
	// credential is shown to.
	connection []string
	// account is the name of a ServiceAccount.
	account string
	// secrets are the names of Secrets by the path of the field that names one, below spec.
	secrets map[string]string
	// roles are the fields that an administrator's Credential may stand in for.
	roles []string
	// inputs are the Sources that it is made of.
	inputs []inputRef
}

// inputRef is another Source of the namespace, and the path of the field that names it, below spec.
type inputRef struct{ field, kind, name string }

// Fields of several kinds.
const (
	secretRef      = "secretRef"
	certSecretRef  = "certSecretRef"
	proxySecretRef = "proxySecretRef"
)

// Everywhere the same in a plain spec.
var (
	anyInterval = &flux.Duration{Duration: time.Minute}
	anySecret   = flux.SecretRef{Name: "secret"}
)

const anyAccount = "account"

// fetchedKinds are those of which something is fetched, each with what it makes of a spec.
var fetchedKinds = map[string]func(*resource.Object) (sourceSpec, error){
	resource.GitRepository.Name:  reading(ofGitRepository),
	resource.OCIRepository.Name:  reading(ofOCIRepository),
	resource.Bucket.Name:         reading(ofBucket),
	resource.HelmRepository.Name: reading(ofHelmRepository),
	resource.HelmChart.Name:      reading(ofHelmChart),
}

func specOf(object *resource.Object) (sourceSpec, error) {
	read, fetched := fetchedKinds[object.Kind]
	if !fetched {
		return sourceSpec{}, fmt.Errorf("%s is not a Source that is fetched", object)
	}
	return read(object)
}

func reading[T any](of func(T) sourceSpec) func(*resource.Object) (sourceSpec, error) {
	return func(object *resource.Object) (sourceSpec, error) {
		spec, err := resource.Spec[T](object)
		if err != nil {
			return sourceSpec{}, err
		}
		return of(spec), nil
	}
}

func ofGitRepository(spec flux.GitRepository) sourceSpec {
	s := sourceSpec{
		url: spec.URL, interval: spec.Interval.Duration, timeout: spec.GetTimeout(), suspend: spec.Suspend,
		provider: identityOf(spec.Provider), account: spec.ServiceAccountName, roles: []string{secretRef, proxySecretRef},
	}
	spec.Interval, spec.Timeout, spec.Suspend = anyInterval, nil, false
	if spec.ServiceAccountName != "" {
		spec.ServiceAccountName = anyAccount
	}
	spec.SecretRef = s.refer(secretRef, spec.SecretRef)
	spec.ProxySecretRef = s.refer(proxySecretRef, spec.ProxySecretRef)
	if spec.Verify != nil {
		verify := *spec.Verify
		verify.SecretRef = *s.refer("verify.secretRef", &verify.SecretRef)
		spec.Verify = &verify
	}
	for i, include := range spec.Include {
		s.inputs = append(s.inputs, inputRef{fmt.Sprintf("include[%d].repository", i), resource.GitRepository.Name, include.Repository.Name})
	}
	s.plain = spec
	return s
}

func ofOCIRepository(spec flux.OCIRepository) sourceSpec {
	s := sourceSpec{
		url: spec.URL, interval: spec.Interval.Duration, timeout: spec.GetTimeout(), suspend: spec.Suspend,
		insecure: spec.Insecure, provider: identityOf(spec.Provider), account: spec.ServiceAccountName,
		roles: []string{secretRef, certSecretRef, proxySecretRef},
	}
	s.connect("insecure", spec.Insecure)
	spec.Interval, spec.Timeout, spec.Suspend = anyInterval, nil, false
	if spec.ServiceAccountName != "" {
		spec.ServiceAccountName = anyAccount
	}
	spec.SecretRef = s.refer(secretRef, spec.SecretRef)
	spec.CertSecretRef = s.refer(certSecretRef, spec.CertSecretRef)
	spec.ProxySecretRef = s.refer(proxySecretRef, spec.ProxySecretRef)
	spec.Verify = s.referVerify(spec.Verify)
	s.plain = spec
	return s
}

func ofBucket(spec flux.Bucket) sourceSpec {
	s := sourceSpec{
		url: spec.URL(), interval: spec.Interval.Duration, timeout: spec.GetTimeout(), suspend: spec.Suspend,
		provider: identityOf(spec.Provider), account: spec.ServiceAccountName, roles: []string{secretRef, certSecretRef, proxySecretRef},
		login: spec.STS != nil,
	}
	// spec.insecure is in the url, and an STS for the hub's identity is AWS's own, or is not asked.
	s.connect("sts", spec.STS != nil && spec.STS.Provider != flux.STSAWS)
	spec.Interval, spec.Timeout, spec.Suspend = anyInterval, nil, false
	if spec.ServiceAccountName != "" {
		spec.ServiceAccountName = anyAccount
	}
	spec.SecretRef = s.refer(secretRef, spec.SecretRef)
	spec.CertSecretRef = s.refer(certSecretRef, spec.CertSecretRef)
	spec.ProxySecretRef = s.refer(proxySecretRef, spec.ProxySecretRef)
	if spec.STS != nil {
		sts := *spec.STS
		sts.SecretRef = s.refer("sts.secretRef", sts.SecretRef)
		sts.CertSecretRef = s.refer("sts.certSecretRef", sts.CertSecretRef)
		spec.STS = &sts
	}
	s.plain = spec
	return s
}

func ofHelmRepository(spec flux.HelmRepository) sourceSpec {
	s := sourceSpec{
		url: spec.URL, interval: spec.GetInterval(), timeout: spec.GetTimeout(), suspend: spec.Suspend,
		static: source.Static(spec), insecure: spec.Insecure, roles: []string{secretRef, certSecretRef},
	}
	if s.static { // else it says nothing
		s.provider = identityOf(spec.Provider)
	}
	s.connect("insecure", spec.Insecure)
	s.connect("passCredentials", spec.PassCredentials)
	spec.Interval, spec.Timeout, spec.Suspend, spec.AccessFrom = nil, nil, false, nil
	spec.SecretRef = s.refer(secretRef, spec.SecretRef)
	spec.CertSecretRef = s.refer(certSecretRef, spec.CertSecretRef)
	s.plain = spec
	return s
}

func ofHelmChart(spec flux.HelmChart) sourceSpec {
	s := sourceSpec{
		interval: spec.Interval.Duration, suspend: spec.Suspend,
		inputs: []inputRef{{"sourceRef", spec.SourceRef.Kind, spec.SourceRef.Name}},
	}
	spec.Interval, spec.Suspend, spec.SourceRef.APIVersion = anyInterval, false, ""
	spec.Verify = s.referVerify(spec.Verify)
	s.plain = spec
	return s
}

// connect notes a field of the connection that is set.
func (s *sourceSpec) connect(field string, set bool) {
	if set {
		s.connection = append(s.connection, field)
	}
}

// identityOf is the cloud whose identity a provider wants; empty: none.
func identityOf(provider string) string {
	if provider == "generic" {
		return ""
	}
	return provider
}

func (s *sourceSpec) referVerify(verify *flux.OCIVerify) *flux.OCIVerify {
	if verify == nil {
		return nil
	}
	same := *verify
	same.SecretRef = s.refer("verify.secretRef", verify.SecretRef)
	same.TrustedRootSecretRef = s.refer("verify.trustedRootSecretRef", verify.TrustedRootSecretRef)
	return &same
}

// refer notes which Secret a field names, and returns what stands there in the plain spec.
func (s *sourceSpec) refer(field string, ref *flux.SecretRef) *flux.SecretRef {
	if ref == nil {
		return nil
	}
	if s.secrets == nil {
		s.secrets = map[string]string{}
	}
	s.secrets[field] = ref.Name
	same := anySecret
	return &same
}
