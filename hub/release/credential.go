package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// addSecrets adds what the Secrets hold that a Source names, that its ServiceAccount names, or that the administrator's
// Credentials name for Sources like it. One that is missing, or what may not be used, is a bindError.
func (l *Loop) addSecrets(ctx context.Context, v *view, s *declaredSource, u *source.Upstream) error {
	u.Secrets = source.Secrets{}
	namespace := s.object.Metadata.Namespace
	for _, field := range slices.Sorted(maps.Keys(s.spec.secrets)) {
		data, err := l.secret(ctx, v, namespace, s.spec.secrets[field])
		if err != nil {
			return missingSecret(err, "spec.%s: Secret/%s/%s", field, namespace, s.spec.secrets[field])
		}
		u.Secrets[field] = data
	}
	if err := l.addAccount(ctx, v, s, u); err != nil {
		return err
	}
	if err := l.addCredentials(ctx, v, s, u); err != nil {
		return err
	}
	if s.spec.provider == "github" && u.Secrets[secretRef] == nil {
		return &bindError{reason: reasonProvider, failure: source.KindAuth, err: errors.New("spec.secretRef: provider github needs a Secret with githubAppID and the other keys of a GitHub App: name one, or have an administrator declare a Credential that gives one")}
	}
	return addIdentity(v, s, u)
}

// addAccount adds the Secrets of the ServiceAccount that a Source names. Where a provider is set and it has none, its
// identity at a cloud is meant.
func (l *Loop) addAccount(ctx context.Context, v *view, s *declaredSource, u *source.Upstream) error {
	name, namespace := s.spec.account, s.object.Metadata.Namespace
	if name == "" {
		return nil
	}
	account := v.accounts[namespace+"/"+name]
	if account == nil {
		return unauthenticated(fmt.Errorf("spec.serviceAccountName: ServiceAccount/%s/%s is not given to the hub: %w", namespace, name, fleet.ErrNotFound))
	}
	if s.spec.provider != "" && len(account.ImagePullSecrets) == 0 {
		return &bindError{reason: reasonProvider, failure: source.KindInvalid, err: fmt.Errorf("spec.serviceAccountName: %w: ServiceAccount/%s/%s has no imagePullSecrets, and the hub has no identity of a ServiceAccount at a cloud, but its own: leave it out, and have an administrator declare a Credential with provider %s",
			fleet.ErrInvalid, namespace, name, s.spec.provider)}
	}
	for i, ref := range account.ImagePullSecrets {
		data, err := l.secret(ctx, v, namespace, ref.Name)
		if err != nil {
			return missingSecret(err, "spec.serviceAccountName: ServiceAccount/%s/%s: imagePullSecrets[%d]: Secret/%s/%s", namespace, name, i, namespace, ref.Name)
		}
		u.Secrets[fmt.Sprintf("serviceAccountName[%d]", i)] = data
	}
	return nil
}

// addCredentials adds what Credentials give for what a Source leaves open: each of the longest prefix that gives it.
func (l *Loop) addCredentials(ctx context.Context, v *view, s *declaredSource, u *source.Upstream) error {
	if s.spec.url == "" {
		return nil // it is asked with what the Source it is made of has
	}
	for _, role := range s.spec.roles {
		own := role == secretRef && (s.spec.account != "" || s.spec.login)
		if own || u.Secrets[role] != nil {
			continue
		}
		data, err := l.granted(ctx, v, s, u, role, role)
		if err != nil {
			return err
		}
		if data != nil {
			u.Secrets[role] = data
		}
	}
	if s.object.Kind == resource.GitRepository.Name {
		return l.addCertificate(ctx, v, s, u)
	}
	return nil
}

// addCertificate adds what a Credential's certSecretRef gives to a GitRepository, which has TLS in its one Secret.
func (l *Loop) addCertificate(ctx context.Context, v *view, s *declaredSource, u *source.Upstream) error {
	if s.spec.secrets[secretRef] != "" {
		return nil
	}
	data, err := l.granted(ctx, v, s, u, certSecretRef, secretRef)
	if err != nil || data == nil {
		return err
	}
	all := maps.Clone(u.Secrets[secretRef])
	if all == nil {
		all = map[string][]byte{}
	}
	for _, key := range []string{"ca.crt", "tls.crt", "tls.key"} {
		if value, given := data[key]; given {
			all[key] = value
		}
	}
	u.Secrets[secretRef] = all
	return nil
}

// granted is what the Secret holds that a Credential gives a Source for a role; nil: there is none. own is the field by which
// the Source may name one of its own.
func (l *Loop) granted(ctx context.Context, v *view, s *declaredSource, u *source.Upstream, role, own string) (map[string][]byte, error) {
	c, ref := v.grant(s, role)
	if ref == nil {
		return nil, nil
	}
	data, err := l.secret(ctx, v, ref.Namespace, ref.Name)
	if err != nil { // where that is, is the administrator's
		return nil, missingSecret(err, "Credential/%s: spec.%s: its Secret", c.name, role)
	}
	if !proves(role, data) {
		return data, nil
	}
	keepWithin(u, c)
	if err := s.spec.refuseWith(c, role, own); err != nil {
		return nil, err
	}
	return data, nil
}

// keepWithin keeps what an upstream is fetched with within the prefix of the Credential that gives it; of two, the narrower one.
func keepWithin(u *source.Upstream, c declaredCredential) {
	if u.Within == "" || fleet.IsWithin(u.Within, c.spec.URLPrefix) {
		u.Within = c.spec.URLPrefix
	}
}

// addIdentity says whether the hub's own identity may be used, which a Source with a provider is fetched with where no Secret
// goes before it. Without, the fetcher asks as nobody, or says that it may not be used.
func addIdentity(v *view, s *declaredSource, u *source.Upstream) error {
	if s.spec.provider == "" || s.spec.account != "" || !leavesIdentity(s, u.Secrets[secretRef]) {
		return nil
	}
	for _, c := range v.credentials {
		if c.spec.Provider == s.spec.provider && c.spec.Grants(s.object.Metadata.Namespace, s.spec.url) > 0 {
			u.Identity = true
			keepWithin(u, c)
			return s.spec.refuseWith(c, "provider", secretRef)
		}
	}
	return nil
}

// leavesIdentity reports whether a Source with this Secret is to be fetched with the identity of its provider. Of a Secret
// for a repository of Azure only TLS counts, which is not a tenant's to say beside it, and clientId alone says which of the
// hub's identities is meant.
func leavesIdentity(s *declaredSource, secret map[string][]byte) bool {
	if secret == nil || s.spec.provider != "azure" {
		return secret == nil
	}
	has := func(key string) bool { return len(secret[key]) > 0 }
	switch s.object.Kind {
	case resource.GitRepository.Name:
		return s.spec.secrets[secretRef] == ""
	case resource.Bucket.Name:
		return has("clientId") && !(has("tenantId") && (has("clientSecret") || has("clientCertificate")))
	}
	return false
}

// grant is the Secret that Credentials give a Source for a role, and the Credential; nil: none.
func (v *view) grant(s *declaredSource, role string) (credential declaredCredential, ref *fleet.NamespacedRef) {
	longest := 0
	for _, c := range v.credentials { // by name: of two with the same prefix the first one counts
		given := map[string]*fleet.NamespacedRef{secretRef: c.spec.SecretRef, certSecretRef: c.spec.CertSecretRef, proxySecretRef: c.spec.ProxySecretRef}[role]
		if given == nil {
			continue
		}
		if length := c.spec.Grants(s.object.Metadata.Namespace, s.spec.url); length > longest {
			longest, credential, ref = length, c, given
		}
	}
	return credential, ref
}

// readCredentials reads the administrator's Credentials and the ServiceAccounts.
func (l *Loop) readCredentials(ctx context.Context, v *view) error {
	credentials, _, err := l.Store.Objects(ctx, resource.Query{Kind: resource.Credential.Name})
	if err != nil {
		return err
	}
	for _, object := range credentials {
		spec, err := resource.Spec[fleet.Credential](object)
		if err != nil {
			return err
		}
		v.credentials = append(v.credentials, declaredCredential{object.Metadata.Name, spec})
	}
	accounts, _, err := l.Store.Objects(ctx, resource.Query{Kind: resource.ServiceAccount.Name})
	if err != nil {
		return err
	}
	for _, object := range accounts {
		v.accounts[object.Metadata.Namespace+"/"+object.Metadata.Name] = object
	}
	return nil
}

type declaredCredential struct {
	name string
	spec fleet.Credential
}

func unauthenticated(err error) *bindError {
	return &bindError{reason: reasonAuthentication, failure: source.KindAuth, err: err}
}

// missingSecret is a Secret that could not be read, named so; its error is a bindError when it is not there.
func missingSecret(err error, format string, args ...any) error {
	if !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	return unauthenticated(fmt.Errorf(format+" is not given to the hub: %w", append(args, fleet.ErrNotFound)...))
}

// secret reads a Secret, when it changed since it was last read.
func (l *Loop) secret(ctx context.Context, v *view, namespace, name string) (map[string][]byte, error) {
	version := v.secrets[namespace+"/"+name]
	l.mu.Lock()
	known, found := l.secrets[namespace+"/"+name]
	l.mu.Unlock()
	if found && known.version == version {
		return known.data, nil
	}
	data, err := l.Store.SecretData(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets[namespace+"/"+name] = readSecret{version: version, data: data}
	return data, nil
}

// forgetSecrets forgets those that are not given to the hub any more.
func (l *Loop) forgetSecrets(v *view) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.secrets, func(secret string, _ readSecret) bool {
		_, given := v.secrets[secret]
		return !given
	})
}

// readSecret is what a Secret held at a version.
type readSecret struct {
	version string
	data    map[string][]byte
}
