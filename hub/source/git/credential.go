package git

import (
	"cmp"
	"crypto/tls"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"flotilla.dev/flotilla/hub/source"
)

// Fields of the spec that name Secrets.
const (
	secretRef       = "secretRef"
	proxySecretRef  = "proxySecretRef"
	verifySecretRef = "verify.secretRef"
)

// credential is what the Secrets of an upstream say, read and checked.
type credential struct {
	username, password string
	bearer             string
	app                *appKey
	signer             ssh.Signer
	hosts              *knownHosts
	trust              *tls.Config
	proxy              *url.URL
}

// problem is a Secret that cannot do, in words for people.
type problem string

func (p problem) Error() string { return string(p) }

// credentialOf reads the Secrets. As in Flux, keys that it has no use for do no harm beside those that it needs; where it
// lacks those, it says which of the others made it so. Its errors name keys, never what they hold.
func credentialOf(u source.Upstream) (*credential, error) {
	secret := u.Secrets[secretRef]
	c := &credential{username: string(secret["username"]), password: string(secret["password"]), bearer: string(secret["bearerToken"])}
	var err error
	if c.proxy, err = u.Proxy(); err != nil {
		return nil, err
	}
	read := c.readSSH
	if !strings.HasPrefix(specOf(u).URL, "ssh://") {
		if c.trust, err = u.TLS(secretRef); err != nil {
			return nil, err
		}
		read = c.readHTTP
	}
	var bad problem
	if err := read(u, secret); errors.As(err, &bad) {
		return nil, u.BadSecret(secretRef, "%s", bad)
	} else if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *credential) readHTTP(u source.Upstream, secret map[string][]byte) error {
	apps := slices.ContainsFunc(slices.Collect(maps.Keys(secret)), func(key string) bool { return strings.HasPrefix(key, "githubApp") })
	provider := cmp.Or(specOf(u).Provider, "generic")
	switch {
	case provider == "github":
		var err error
		c.app, err = appKeyOf(secret)
		return err
	case apps:
		return problem("the Secret has the keys of a GitHub App; set spec.provider to github to use them")
	case provider == "azure" && !u.Identity:
		return u.Fail(source.KindAuth, "spec.provider azure: the hub's own identity may not be used for this URL and namespace; an administrator's Credential (provider: azure) allows it")
	case c.bearer != "" && (c.username != "" || c.password != ""):
		return problem("the Secret has bearerToken and username or password as well; keep one of them")
	case c.username == "" && c.password != "" && len(secret["identity"]) == 0:
		return problem("the Secret has password, and no username; some servers take any name with a token, such as git")
	case c.username != "" && c.password == "":
		return problem("the Secret has username, and no password")
	case strings.ContainsAny(c.bearer+c.username+c.password, "\r\n\x00"):
		return problem("username, password or bearerToken of the Secret has a line break; was it made by echo? (printf makes none)")
	case len(secret) == 0 || c.bearer != "" || c.username != "" || c.trust != nil || provider == "azure":
		return nil
	case len(secret["identity"]) > 0 || len(secret["known_hosts"]) > 0:
		return problem("the Secret is one for SSH (identity, known_hosts), and spec.url is not; write it as ssh://git@host/path, or give username and password")
	}
	return nil // as if there were none: a public repository is had all the same
}

func (c *credential) readSSH(u source.Upstream, secret map[string][]byte) error {
	host, _ := url.Parse(specOf(u).URL) // validated
	switch {
	case len(secret) == 0:
		return problem("ssh needs a key: name a Secret with identity and known_hosts")
	case len(secret["identity"]) == 0 && (c.username != "" || c.password != "" || c.bearer != ""):
		return problem("the Secret is one for https (username, password or bearerToken), and spec.url begins with ssh://; write it as https://, or give identity and known_hosts")
	case len(secret["identity"]) == 0:
		return problem("the Secret has no key identity: the private key, in PEM form")
	case len(secret["known_hosts"]) == 0:
		return problem("the Secret has no key known_hosts: the lines that ssh-keyscan " + host.Hostname() + " prints, compared with what the server's owner publishes")
	}
	var err error
	if c.signer, err = readIdentity(secret["identity"], secret["password"]); err != nil {
		return err
	}
	c.hosts, err = readKnownHosts(secret["known_hosts"])
	return err
}

// maxIdentity is far more than a private key has.
const maxIdentity = 64 << 10

// readIdentity reads a private key. No agent is ever asked.
func readIdentity(pem, password []byte) (ssh.Signer, error) {
	if len(pem) > maxIdentity {
		return nil, problem("identity of the Secret is larger than a private key")
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var encrypted *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &encrypted) && len(password) == 0:
		return nil, problem("identity of the Secret is encrypted; add what it is encrypted with as key password")
	case errors.As(err, &encrypted):
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, password); err != nil {
			return nil, problem("identity of the Secret cannot be decrypted by its password")
		}
	case err != nil:
		return nil, problem("identity of the Secret is no private key in PEM form (a public one, identity.pub, will not do)")
	}
	return signer, nil
}

// anonymous reports whether nothing says who asks.
func (c *credential) anonymous() bool { return c.username == "" && c.bearer == "" && c.app == nil }
