package release

import (
	"fmt"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// refuseWith refuses a Source that is fetched with what an administrator's Credential gives, while it says itself how that
// is connected to, or whom it is shown to: whoever may declare a Source must not be able to have it sent to a server of
// their own. what is the field of the Credential, own the field of the Source that takes its place.
func (s sourceSpec) refuseWith(c declaredCredential, what, own string) error {
	fields := slices.Clone(s.connection)
	for _, field := range []string{certSecretRef, proxySecretRef} {
		if s.secrets[field] != "" {
			fields = append(fields, field)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return unauthenticated(fmt.Errorf("spec.%s: %w: %s of Credential/%s is an administrator's, and is not used together with what a source says of its connection: leave that out (certSecretRef and proxySecretRef may be set in the Credential, by an administrator), or name a Secret of your own in spec.%s",
		strings.Join(fields, ", spec."), fleet.ErrDenied, what, c.name, own))
}

// proves reports whether what a Credential's Secret for a role holds says who asks: a CA or a proxy does not.
func proves(role string, data map[string][]byte) bool {
	return role == secretRef || role == certSecretRef && len(data["tls.key"]) > 0
}
