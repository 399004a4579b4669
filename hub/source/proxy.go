package source

import (
	"errors"
	"net/url"
	"strings"

	"flotilla.dev/flotilla/pkg/flux"
)

// Proxy is what the Secret that spec.proxySecretRef names says of the proxy to go through; nil: the spec names none, and
// nobody lent one.
func (u Upstream) Proxy() (*url.URL, error) {
	secret := u.Secrets[proxySecretRef]
	if secret == nil && !u.namesProxy() {
		return nil, nil
	}
	proxy, err := proxyIn(secret)
	if err != nil {
		return nil, u.BadSecret(proxySecretRef, "%s", err)
	}
	return proxy, nil
}

const proxySecretRef = "proxySecretRef"

// namesProxy reports whether it must not be done without one.
func (u Upstream) namesProxy() bool {
	switch spec := u.Spec.(type) {
	case flux.GitRepository:
		return spec.ProxySecretRef != nil
	case flux.OCIRepository:
		return spec.ProxySecretRef != nil
	case flux.Bucket:
		return spec.ProxySecretRef != nil
	}
	return false
}

// proxyIn reads address, and username and password, if the Secret has them. White space around the address, as echo
// leaves it, does no harm. Its errors name the keys, for people, and hold nothing of what they hold.
func proxyIn(secret map[string][]byte) (*url.URL, error) {
	address := strings.TrimSpace(string(secret["address"]))
	if address == "" {
		return nil, errors.New("the Secret has no key address")
	}
	parsed, err := url.Parse(address)
	switch {
	case err != nil, parsed.Hostname() == "":
		return nil, errors.New("address in the Secret is not a URL such as http://proxy.example.com:3128")
	case parsed.Scheme != "http" && parsed.Scheme != "https" && parsed.Scheme != "socks5":
		return nil, errors.New("address in the Secret is not an http://, https:// or socks5:// URL")
	case parsed.User != nil:
		return nil, errors.New("address in the Secret has a user in it: user and password are keys of their own, username and password")
	}
	if username := string(secret["username"]); username != "" {
		parsed.User = url.UserPassword(username, string(secret["password"]))
	}
	return parsed, nil
}
