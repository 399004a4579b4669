package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// credential reads a Secret, when it changed since it was last read.
func (l *Loop) credential(ctx context.Context, v *view, namespace, name string) (*source.Credential, error) {
	version := v.secrets[namespace+"/"+name]
	l.mu.Lock()
	known, found := l.credentials[namespace+"/"+name]
	l.mu.Unlock()
	if found && known.version == version {
		return known.credential, nil
	}
	data, err := l.Store.SecretData(ctx, namespace, name)
	if err != nil {
		return nil, fmt.Errorf("spec.secretRef: Secret/%s/%s is not given to the hub: %w", namespace, name, err)
	}
	credential, err := credentialOf(data)
	if err != nil {
		return nil, fmt.Errorf("spec.secretRef: Secret/%s/%s: %w", namespace, name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.credentials[namespace+"/"+name] = readCredential{version: version, credential: credential}
	return credential, nil
}

// forgetCredentials forgets those of Secrets that are not given to the hub any more.
func (l *Loop) forgetCredentials(v *view) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.credentials, func(secret string, _ readCredential) bool {
		_, given := v.secrets[secret]
		return !given
	})
}

// readCredential is a credential and the version of the Secret that it was read from.
type readCredential struct {
	version    string
	credential *source.Credential
}

// credentialOf is what the keys of a Secret give. Keys that Flux does not know are left aside, as in Flux; its others
// are fleet.ErrInvalid.
func credentialOf(data map[string][]byte) (*source.Credential, error) {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if slices.Contains(unsupportedKeys, key) || strings.HasPrefix(key, "githubApp") {
			return nil, fmt.Errorf("%w: key %s is not supported yet (username, password and ca.crt are)", fleet.ErrInvalid, key)
		}
	}
	credential := &source.Credential{Username: string(data["username"]), Password: string(data["password"]), CAFile: data["ca.crt"]}
	if credential.Password == "" && len(credential.CAFile) == 0 {
		return nil, fmt.Errorf("%w: it has no key password (nor ca.crt)", fleet.ErrInvalid)
	}
	return credential, nil
}

// unsupportedKeys are keys that Flux reads of a GitRepository's Secret: ignored, they would leave a person to look for
// the fault at the Git server.
var unsupportedKeys = []string{"bearerToken", "tls.crt", "tls.key", "caFile", "certFile", "keyFile", "identity", "known_hosts"}
