package release_test

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAdministratorsCredentialIsNotUsedWithWhatASourceSaysOfItsConnection(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	for _, secret := range []string{"password", "ca.crt", "tls.key", "address"} {
		b.secret("flux-system", strings.ReplaceAll(secret, ".", "-"), secret, "theirs")
		b.secret("apps", "own", "password", "own")
	}
	credential := func(name, spec string) {
		b.apply(fmt.Sprintf(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Credential","metadata":{"name":%q},"spec":{"namespaces":["apps"],%s}}`, name, spec))
	}
	for _, scheme := range []string{"https", "oci"} {
		credential("secret-"+scheme, `"urlPrefix":"`+scheme+`://secret.example.com","secretRef":{"namespace":"flux-system","name":"password"}`)
		credential("identity-"+scheme, `"urlPrefix":"`+scheme+`://identity.example.com","provider":"aws"`)
		credential("authority-"+scheme, `"urlPrefix":"`+scheme+`://authority.example.com","certSecretRef":{"namespace":"flux-system","name":"ca-crt"},"proxySecretRef":{"namespace":"flux-system","name":"address"}`)
		credential("certificate-"+scheme, `"urlPrefix":"`+scheme+`://certificate.example.com","certSecretRef":{"namespace":"flux-system","name":"tls-key"}`)
	}
	const (
		git    = `"interval":"10m","url":"https://%s.example.com/%s"`
		oci    = `"interval":"10m","url":"oci://%s.example.com/%s"`
		bucket = `"interval":"10m","endpoint":"%s.example.com","bucketName":"%s"`
		helm   = `"url":"https://%s.example.com/%s"`
	)
	const cert, proxy, own = `"certSecretRef":{"name":"own"}`, `"proxySecretRef":{"name":"own"}`, `"secretRef":{"name":"own"}`
	for i, test := range []struct {
		kind, spec, host, extra string
		fields, way             string // empty: it is fetched
	}{
		{"GitRepository", git, "secret", proxy, "spec.proxySecretRef", "secretRef"},
		{"GitRepository", git, "certificate", proxy, "spec.proxySecretRef", "secretRef"},
		{"GitRepository", git, "secret", proxy + "," + own, "", ""},
		{"GitRepository", git, "authority", proxy, "", ""},
		{"OCIRepository", oci, "secret", cert, "spec.certSecretRef", "secretRef"},
		{"OCIRepository", oci, "secret", proxy, "spec.proxySecretRef", "secretRef"},
		{"OCIRepository", oci, "secret", `"insecure":true`, "spec.insecure", "secretRef"},
		{"OCIRepository", oci, "secret", `"insecure":true,` + cert + "," + proxy, "spec.insecure, spec.certSecretRef, spec.proxySecretRef", "secretRef"},
		{"OCIRepository", oci, "identity", `"provider":"aws",` + cert, "spec.certSecretRef", "secretRef"},
		{"OCIRepository", oci, "identity", `"provider":"aws","insecure":true`, "spec.insecure", "secretRef"},
		{"OCIRepository", oci, "certificate", `"insecure":true,` + own, "spec.insecure", "certSecretRef"},
		{"OCIRepository", oci, "secret", `"insecure":true,` + own + "," + cert + "," + proxy, "", ""},
		{"OCIRepository", oci, "authority", `"insecure":true,` + own, "", ""},
		{"Bucket", bucket, "secret", cert, "spec.certSecretRef", "secretRef"},
		{"Bucket", bucket, "secret", proxy, "spec.proxySecretRef", "secretRef"},
		{"Bucket", bucket, "identity", `"provider":"aws",` + cert, "spec.certSecretRef", "secretRef"},
		{"Bucket", bucket, "identity", `"provider":"aws","sts":{"provider":"aws","endpoint":"https://sts.amazonaws.com"}`, "", ""}, // AWS's own, which the fetcher sees to
		{"Bucket", bucket, "certificate", `"sts":{"provider":"ldap","endpoint":"https://ldap.example.com"}`, "spec.sts", "certSecretRef"},
		{"Bucket", bucket, "secret", `"sts":{"provider":"ldap","endpoint":"https://ldap.example.com"},` + cert, "", ""}, // it has a login of its own
		{"Bucket", bucket, "secret", `"insecure":true`, "", ""},                                                         // at http, where no Credential is
		{"HelmRepository", helm, "secret", cert, "spec.certSecretRef", "secretRef"},
		{"HelmRepository", helm, "secret", `"passCredentials":true`, "spec.passCredentials", "secretRef"},
		{"HelmRepository", helm, "certificate", `"passCredentials":true`, "spec.passCredentials", "certSecretRef"},
		{"HelmRepository", helm, "secret", `"insecure":true`, "spec.insecure", "secretRef"},
		{"HelmRepository", helm, "secret", `"passCredentials":true,` + own, "", ""},
	} {
		name := fmt.Sprintf("source-%d", i)
		b.source(test.kind, "apps", name, fmt.Sprintf(test.spec, test.host, name)+","+test.extra)
		if test.fields == "" {
			b.eventuallyOf(test.kind, "apps", name, good)
			continue
		}
		state := b.eventuallyOf(test.kind, "apps", name, func(s fleet.SourceState) error {
			if s.Reason == "" {
				return fmt.Errorf("at %+v", s)
			}
			return nil
		})
		if !strings.HasPrefix(state.Message, test.fields+": denied: ") || state.Reason != "AuthenticationFailed" ||
			!strings.Contains(state.Message, "of Credential/"+test.host+"-") || !strings.HasSuffix(state.Message, "in spec."+test.way) {
			t.Errorf("%s at %s with %s: %s %q", test.kind, test.host, test.extra, state.Reason, state.Message)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, u := range m.upstreams {
		theirs := string(u.Secrets["secretRef"]["password"]) == "theirs"
		if (theirs || u.Identity) && u.Within == "" {
			t.Errorf("%s is asked with what may go anywhere", name)
		}
		if strings.HasPrefix(name, "Bucket http://secret") && u.Secrets["secretRef"] != nil {
			t.Errorf("%s gets what is for https", name)
		}
	}
}
