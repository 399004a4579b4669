package bucket

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// s3Credentials are, in Flux's order, the keys of the Secret, those that an STS gives, or none. The hub's own identity
// takes the place of none where it is granted.
func (w *wire) s3Credentials(who identity, s *s3) (*credentials.Credentials, error) {
	if secret := w.Secrets[secretRef]; secret != nil {
		for _, key := range []string{"accesskey", "secretkey"} {
			if len(secret[key]) == 0 {
				return nil, w.BadSecret(secretRef, "the Secret has no key %s (accesskey and secretkey are needed)", key)
			}
		}
		return credentials.NewStaticV4(string(secret["accesskey"]), string(secret["secretkey"]), ""), nil
	}
	sts := w.spec.STS
	switch {
	case sts != nil && sts.Provider == flux.STSLDAP:
		s.sts = "the security token service at " + source.Redact(sts.Endpoint)
		return w.ldap(sts)
	case w.spec.GetProvider() == flux.BucketAWS && w.Identity:
		s.sts = "the hub's own identity"
		endpoint := ""
		if sts != nil {
			endpoint = sts.Endpoint
			if !amazons(endpoint) {
				return nil, w.Fail(source.KindAddress, "spec.sts.endpoint is not one of AWS (https://sts.REGION.amazonaws.com), and the hub shows its identity to no other")
			}
		}
		return credentials.New(who.aws(endpoint)), nil
	}
	s.anonymous = true
	return credentials.NewStatic("", "", "", credentials.SignatureAnonymous), nil
}

func (w *wire) ldap(sts *flux.BucketSTS) (*credentials.Credentials, error) {
	secret := w.Secrets[stsSecretRef]
	if secret == nil && sts.SecretRef != nil {
		return nil, w.BadSecret(stsSecretRef, "the Secret is not there")
	}
	for _, key := range []string{"username", "password"} {
		if secret != nil && len(secret[key]) == 0 {
			return nil, w.BadSecret(stsSecretRef, "the Secret has no key %s (username and password are needed)", key)
		}
	}
	client, err := w.tokenClient(stsCertSecretRef)
	if err != nil {
		return nil, err
	}
	return credentials.New(&credentials.LDAPIdentity{
		Client: client, STSEndpoint: sts.Endpoint, LDAPUsername: string(secret["username"]), LDAPPassword: string(secret["password"]),
	}), nil
}

// amazons reports whether an STS is one of AWS.
func amazons(endpoint string) bool {
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Scheme != "https" || parsed.Port() != "" {
		return false
	}
	return stsHost.MatchString(strings.ToLower(parsed.Hostname()))
}

// stsHost is the whole of a name, since others of amazonaws.com are buckets, which anybody may have: of the service, of it
// in a region, or of an endpoint in a private network.
var stsHost = regexp.MustCompile(`^(sts(-fips)?(\.[a-z]{2}(-[a-z]+)+-[0-9]+)?|vpce-[a-z0-9-]+\.sts\.[a-z0-9-]+\.vpce)\.amazonaws\.com(\.cn)?$`)
