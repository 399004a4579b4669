package git

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownHosts are the keys that servers may show (OpenSSH's sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
type knownHosts struct{ lines []hostLine }

type hostLine struct {
	marker string // "", "cert-authority" or "revoked"
	hosts  []string
	key    ssh.PublicKey
}

// Bounds of what a Secret says of servers.
const (
	maxKnownHosts = 1 << 20
	maxHostLines  = 10_000
)

// readKnownHosts reads lines of known_hosts; one that is none is an error that says which.
func readKnownHosts(data []byte) (*knownHosts, error) {
	if len(data) > maxKnownHosts {
		return nil, problem("known_hosts of the Secret is larger than 1 MiB")
	}
	known := &knownHosts{}
	for i, line := range bytes.Split(data, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		marker, hosts, key, _, _, err := ssh.ParseKnownHosts(line)
		if err != nil || len(known.lines) == maxHostLines {
			return nil, problem(fmt.Sprintf("line %d of known_hosts in the Secret is not a host with its key, as ssh-keyscan prints them", i+1))
		}
		known.lines = append(known.lines, hostLine{marker, hosts, key})
	}
	if len(known.lines) == 0 {
		return nil, problem("known_hosts of the Secret has no lines")
	}
	return known, nil
}

// of are the keys of a server, by "host:port".
func (k *knownHosts) of(address, marker string) []ssh.PublicKey {
	var keys []ssh.PublicKey
	for _, line := range k.lines {
		if line.marker == marker && line.matches(address) {
			keys = append(keys, line.key)
		}
	}
	return keys
}

// matches as OpenSSH does: a name without a port is at port 22; a pattern with "!" excludes.
func (l hostLine) matches(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	name := host
	if port != "22" {
		name = "[" + host + "]:" + port
	}
	name = strings.ToLower(name)
	found := false
	for _, pattern := range l.hosts {
		pattern, not := strings.CutPrefix(pattern, "!")
		if !matchesHost(strings.ToLower(pattern), pattern, name) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

func matchesHost(lower, pattern, name string) bool {
	if hashed, is := strings.CutPrefix(pattern, "|1|"); is {
		salt, sum, _ := strings.Cut(hashed, "|")
		key, err := base64.StdEncoding.DecodeString(salt)
		want, err2 := base64.StdEncoding.DecodeString(sum)
		if err != nil || err2 != nil {
			return false
		}
		mac := hmac.New(sha1.New, key)
		_, _ = mac.Write([]byte(name)) // a hash never fails
		return hmac.Equal(mac.Sum(nil), want)
	}
	// Its "[" is no range as path.Match has them.
	escaped := strings.NewReplacer("[", `\[`, "]", `\]`).Replace(lower)
	matched, err := path.Match(escaped, name)
	return err == nil && matched
}

// hostKeyError is a server that shows another key.
type hostKeyError struct {
	host    string
	revoked bool
	shown   string
}

func (e *hostKeyError) Error() string {
	if e.revoked {
		return "the server shows a key that known_hosts revokes (" + e.shown + ")"
	}
	return "the server shows another key (" + e.shown + ") than known_hosts of the Secret has for " + e.host
}

// check is an ssh.HostKeyCallback. The address is the one that was asked for.
func (k *knownHosts) check(address string) ssh.HostKeyCallback {
	authority := &ssh.CertChecker{
		IsHostAuthority: func(key ssh.PublicKey, _ string) bool {
			return holds(k.of(address, "cert-authority"), key) && !k.revoked(address, key)
		},
		HostKeyFallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if holds(k.of(address, ""), key) {
				return nil
			}
			return &hostKeyError{host: address, shown: ssh.FingerprintSHA256(key)}
		},
	}
	return func(_ string, remote net.Addr, key ssh.PublicKey) error {
		if k.revoked(address, key) {
			return &hostKeyError{host: address, revoked: true, shown: ssh.FingerprintSHA256(key)}
		}
		return authority.CheckHostKey(address, remote, key)
	}
}

func (k *knownHosts) revoked(address string, key ssh.PublicKey) bool {
	if certificate, is := key.(*ssh.Certificate); is && holds(k.of(address, "revoked"), certificate.SignatureKey) {
		return true
	}
	return holds(k.of(address, "revoked"), key)
}

func holds(keys []ssh.PublicKey, key ssh.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) })
}

// algorithms are those of the keys that are known, so that the server shows one of these. None: the host is not known.
func (k *knownHosts) algorithms(address string) []string {
	var out []string
	if len(k.of(address, "cert-authority")) > 0 { // any certificate that it has signed
		out = append(out, ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01)
	}
	for _, key := range k.of(address, "") {
		algorithms := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, algorithm := range algorithms {
			if !slices.Contains(out, algorithm) {
				out = append(out, algorithm)
			}
		}
	}
	return out
}
