package source

import (
	"errors"
	"net/url"
	"strings"
)

// ProxyURL is what a Secret that spec.proxySecretRef names says of a proxy: address, and username and password, if it has
// them. White space around the address, as echo leaves it, does no harm. Its errors name the keys, for people, and hold
// nothing of what they hold.
func ProxyURL(secret map[string][]byte) (*url.URL, error) {
	address := strings.TrimSpace(string(secret["address"]))
	if address == "" {
		return nil, errors.New("the Secret that spec.proxySecretRef names has no key address")
	}
	parsed, err := url.Parse(address)
	switch {
	case err != nil, parsed.Hostname() == "":
		return nil, errors.New("address in the Secret that spec.proxySecretRef names is not a URL such as http://proxy.example.com:3128")
	case parsed.Scheme != "http" && parsed.Scheme != "https" && parsed.Scheme != "socks5":
		return nil, errors.New("address in the Secret that spec.proxySecretRef names is not an http://, https:// or socks5:// URL")
	case parsed.User != nil:
		return nil, errors.New("address in the Secret that spec.proxySecretRef names has a user in it: user and password are keys of their own, username and password")
	}
	if username := string(secret["username"]); username != "" {
		parsed.User = url.UserPassword(username, string(secret["password"]))
	}
	return parsed, nil
}
