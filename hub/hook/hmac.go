package hook

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"mime"
	"strings"
)

// hashes are those that a signature may name before its =.
var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// genericHMAC calls are signed in a header.
func genericHMAC(_ context.Context, c call) (Event, error) {
	if err := c.signed("X-Signature"); err != nil {
		return Event{}, err
	}
	return Event{Content: c.Body}, nil
}

// github calls are signed. Gitea and Forgejo send the same headers beside those of their own names.
func github(_ context.Context, c call) (Event, error) {
	if err := c.hubSigned(); err != nil {
		return Event{}, err
	}
	event := Event{Name: c.Header.Get("X-GitHub-Event"), Content: c.Body}
	return event, c.wanted(event.Name)
}

// bitbucket calls, those of a Bitbucket server, are signed like GitHub's.
func bitbucket(_ context.Context, c call) (Event, error) {
	if err := c.hubSigned(); err != nil {
		return Event{}, err
	}
	event := Event{Name: c.Header.Get("X-Event-Key"), Content: c.Body}
	return event, c.wanted(event.Name)
}

// nexus calls are signed, with nothing said of the hash.
func nexus(_ context.Context, c call) (Event, error) {
	given := c.Header.Get("X-Nexus-Webhook-Signature")
	if given == "" {
		return Event{}, refusef("there is no header X-Nexus-Webhook-Signature")
	}
	if !hmac.Equal([]byte(given), []byte(hex.EncodeToString(c.mac(sha1.New)))) {
		return Event{}, refusef("header X-Nexus-Webhook-Signature is not the signature of the body")
	}
	var body struct {
		Action         string `json:"action"`
		RepositoryName string `json:"repositoryName"`
	}
	if err := c.decode(&body); err != nil {
		return Event{}, err
	}
	return Event{About: quoted(body.RepositoryName), Content: c.Body}, nil
}

// hubSigned refuses a call without the signature that GitHub makes.
func (c call) hubSigned() error {
	switch content, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); {
	case err != nil:
		return refusef("there is no header Content-Type, or it is none")
	case content != "application/json" && content != "application/x-www-form-urlencoded":
		return refusef("header Content-Type is %s, and neither application/json nor application/x-www-form-urlencoded", quoted(content))
	}
	if c.Header.Get("X-Hub-Signature-256") != "" {
		return c.signed("X-Hub-Signature-256")
	}
	return c.signed("X-Hub-Signature")
}

// signed refuses a call whose header is no signature of the body, such as sha256=HEX.
func (c call) signed(header string) error {
	given := c.Header.Get(header)
	if given == "" {
		return refusef("there is no header %s", header)
	}
	name, digits, _ := strings.Cut(given, "=")
	newHash, known := hashes[name]
	if !known {
		return refusef("header %s names no hash that is known: sha256=HEX would do", header)
	}
	mac, err := hex.DecodeString(digits)
	if err != nil || !hmac.Equal(mac, c.mac(newHash)) {
		return refusef("header %s is not the signature of the body", header)
	}
	return nil
}

// mac is the one of the body under the token.
func (c call) mac(newHash func() hash.Hash) []byte {
	mac := hmac.New(newHash, c.token())
	_, _ = mac.Write(c.Body) // a hash never fails
	return mac.Sum(nil)
}
