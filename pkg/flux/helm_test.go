package flux_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestHelmRepositoryIsTakenAsFluxTakesIt(t *testing.T) {
	t.Parallel()
	ref := &flux.SecretRef{Name: "a"}
	for name, test := range map[string]struct {
		spec flux.HelmRepository
		want string
	}{
		"over HTTP":               {flux.HelmRepository{URL: "https://charts.example.com/stable", Interval: duration(time.Minute), SecretRef: ref, CertSecretRef: ref}, ""},
		"without an interval":     {flux.HelmRepository{URL: "http://charts.example.com"}, ""},
		"with a query":            {flux.HelmRepository{URL: "https://charts.example.com/stable?sig=abc"}, ""},
		"in a registry":           {flux.HelmRepository{URL: "oci://registry.example.com/charts", Type: flux.HelmRepositoryOCI, Provider: "aws", Insecure: true}, ""},
		"with a slash at the end": {flux.HelmRepository{URL: "oci://registry.example.com/charts/", Type: flux.HelmRepositoryOCI}, ""},
		"a registry alone":        {flux.HelmRepository{URL: "oci://registry.example.com", Type: flux.HelmRepositoryOCI}, ""},
		"access from":             {flux.HelmRepository{URL: "https://a.example", AccessFrom: &flux.AccessFrom{NamespaceSelectors: []flux.NamespaceSelector{}}}, ""},
		"access from nothing":     {flux.HelmRepository{URL: "https://a.example", AccessFrom: &flux.AccessFrom{}}, "spec.accessFrom.namespaceSelectors: is required"},
		"no URL":                  {flux.HelmRepository{}, "spec.url: is required"},
		"a registry as default":   {flux.HelmRepository{URL: "oci://registry.example.com/charts"}, "needs spec.type: oci"},
		"HTTP as a registry":      {flux.HelmRepository{URL: "https://charts.example.com", Type: flux.HelmRepositoryOCI}, `spec.url: "https://charts.example.com" is not oci://host/path`},
		"another scheme":          {flux.HelmRepository{URL: "ftp://charts.example.com"}, `scheme "ftp" is not http, https or oci`},
		"credentials":             {flux.HelmRepository{URL: "https://user:secret@charts.example.com"}, "spec.url: holds credentials"},
		"a type":                  {flux.HelmRepository{URL: "https://a.example", Type: "git"}, `spec.type: "git" is not default or oci`},
		"a provider":              {flux.HelmRepository{URL: "https://a.example", Provider: "ibm"}, "spec.provider"},
		"an interval of zero":     {flux.HelmRepository{URL: "https://a.example", Interval: duration(0)}, "spec.interval: must be more than zero"},
		"a timeout of zero":       {flux.HelmRepository{URL: "https://a.example", Timeout: duration(0)}, "spec.timeout: must be more than zero"},
		"a Secret of no name":     {flux.HelmRepository{URL: "https://a.example", SecretRef: &flux.SecretRef{}}, "spec.secretRef.name: is required"},
		"certs of no name":        {flux.HelmRepository{URL: "https://a.example", CertSecretRef: &flux.SecretRef{}}, "spec.certSecretRef.name: is required"},
	} {
		refused(t, name, test.spec.Validate(), test.want)
		if err := test.spec.Validate(); err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: the password is shown", name)
		}
	}
	if got := (flux.HelmRepository{}).GetInterval(); got != time.Minute {
		t.Errorf("interval %s, want Flux's minute", got)
	}
}

func TestHelmChartIsTakenAsFluxTakesIt(t *testing.T) {
	t.Parallel()
	good := func(kind, chart string) flux.HelmChart {
		return flux.HelmChart{Chart: chart, Interval: duration(time.Minute), SourceRef: flux.LocalSourceRef{Kind: kind, Name: "a"}}
	}
	with := func(kind, chart string, change func(*flux.HelmChart)) flux.HelmChart {
		spec := good(kind, chart)
		change(&spec)
		return spec
	}
	key := &flux.SecretRef{Name: "keys"}
	for name, test := range map[string]struct {
		spec flux.HelmChart
		want string
	}{
		"of a repository":     {with("HelmRepository", "podinfo", func(h *flux.HelmChart) { h.Version = ">=1.0.0 <2" }), ""},
		"below a path":        {good("HelmRepository", "team/pod-info.v2"), ""},
		"of Git":              {good("GitRepository", "./charts/podinfo"), ""},
		"of a bucket":         {with("Bucket", "podinfo.tgz", func(h *flux.HelmChart) { h.ReconcileStrategy = flux.ByRevision }), ""},
		"no chart":            {good("HelmRepository", ""), "spec.chart: is required"},
		"a name":              {good("HelmRepository", "Pod_Info"), `spec.chart: "Pod_Info" is not the name of a chart`},
		"a range":             {with("HelmRepository", "a", func(h *flux.HelmChart) { h.Version = "newest" }), `spec.version: "newest" is not a version or a range`},
		"a path out of Git":   {good("GitRepository", "../podinfo"), `spec.chart: "../podinfo" leaves the source`},
		"a kind":              {good("OCIRepository", "a"), `spec.sourceRef.kind: "OCIRepository" is not HelmRepository, GitRepository or Bucket`},
		"no kind":             {good("", "a"), "spec.sourceRef.kind: is required"},
		"another API":         {with("Bucket", "a", func(h *flux.HelmChart) { h.SourceRef.APIVersion = "v1" }), "spec.sourceRef.apiVersion"},
		"no interval":         {with("Bucket", "a", func(h *flux.HelmChart) { h.Interval = nil }), "spec.interval: is required"},
		"a strategy":          {with("Bucket", "a", func(h *flux.HelmChart) { h.ReconcileStrategy = "Always" }), `spec.reconcileStrategy: "Always" is not ChartVersion or Revision`},
		"an empty file":       {with("Bucket", "a", func(h *flux.HelmChart) { h.ValuesFiles = []string{"a.yaml", ""} }), "spec.valuesFiles[1]: is required"},
		"a file outside":      {with("Bucket", "a", func(h *flux.HelmChart) { h.ValuesFiles = []string{"a/../../b"} }), `spec.valuesFiles[0]: "a/../../b" leaves the source`},
		"verified":            {with("HelmRepository", "a", func(h *flux.HelmChart) { h.Verify = &flux.OCIVerify{Provider: "cosign", SecretRef: key} }), ""},
		"verified in Git":     {with("GitRepository", "a", func(h *flux.HelmChart) { h.Verify = &flux.OCIVerify{Provider: "cosign"} }), "spec.verify: is only for a chart of a HelmRepository"},
		"another verifier":    {with("HelmRepository", "a", func(h *flux.HelmChart) { h.Verify = &flux.OCIVerify{Provider: "pgp"} }), "spec.verify.provider"},
		"a root of its own":   {with("HelmRepository", "a", func(h *flux.HelmChart) { h.Verify = &flux.OCIVerify{TrustedRootSecretRef: key} }), "spec.verify.trustedRootSecretRef: is a field of an OCIRepository"},
		"notation of no keys": {with("HelmRepository", "a", func(h *flux.HelmChart) { h.Verify = &flux.OCIVerify{Provider: "notation"} }), "spec.verify.secretRef: is required"},
	} {
		refused(t, name, test.spec.Validate(), test.want)
	}
}

func TestTheChartsOwnValuesAreNoValuesFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		files []string
		want  int
	}{{nil, 0}, {[]string{"values.yaml"}, 0}, {[]string{"./values.yaml"}, 0}, {[]string{"values.yaml", "prod.yaml"}, 2}, {[]string{"a/values.yaml"}, 1}} {
		if got := (flux.HelmChart{ValuesFiles: test.files}).GetValuesFiles(); len(got) != test.want {
			t.Errorf("%v: %v", test.files, got)
		}
	}
}

// refused wants an ErrInvalid that says it; empty: none.
func refused(t *testing.T, name string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
}
