package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// googleKeys is where Google's keys are.
const googleKeys = "https://www.googleapis.com/oauth2/v3/certs"

const (
	// keysFor is how long keys are used, and keysAgain how long until they are asked for anew because a token names one that
	// is not among them: hostile tokens would have every call ask.
	keysFor   = 5 * time.Minute
	keysAgain = 10 * time.Second
	// keysAtMost is how long keys are good when the issuer can not be asked: it may have withdrawn one.
	keysAtMost = time.Hour
	// maxAnswer bounds an issuer's answer, and askTime the time of one.
	maxAnswer = 1 << 20
	askTime   = 5 * time.Second
	// maxKeysAt bounds the address of keys, which an issuer says.
	maxKeysAt = 2 << 10
	// early is how much before its time a token is taken, since clocks differ.
	early = 5 * time.Minute
)

// algorithms are those of OpenID Connect that take a public key. None is named by a token alone: an issuer says which it has.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// issuers are whose keys were asked for.
type issuers struct {
	client *http.Client
	google *issuer

	mu    sync.Mutex
	known map[string]*issuer
}

func newIssuers(client *http.Client, google string) *issuers {
	return &issuers{client: client, known: map[string]*issuer{},
		google: &issuer{keysAt: google, algorithms: []jose.SignatureAlgorithm{jose.RS256}}}
}

// Claims implements Keys.
func (k *issuers) Claims(ctx context.Context, url, audience, token string) (map[string]any, error) {
	return k.issuer(url).claims(ctx, k.client, audience, token)
}

// GoogleClaims implements Keys.
func (k *issuers) GoogleClaims(ctx context.Context, audience, token string) (map[string]any, error) {
	return k.google.claims(ctx, k.client, audience, token)
}

// issuer is the one of that URL. There are as many as Receivers name; those that none asked for lately are forgotten.
func (k *issuers) issuer(url string) *issuer {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, i := range k.known {
		if time.Since(i.used) > 2*keysFor {
			delete(k.known, name)
		}
	}
	if k.known[url] == nil {
		k.known[url] = &issuer{url: url}
	}
	k.known[url].used = time.Now()
	return k.known[url]
}

// issuer is one with its keys.
type issuer struct {
	url  string    // empty: Google, of which keysAt and algorithms are known
	used time.Time // guarded by issuers

	mu         sync.Mutex
	keysAt     string
	algorithms []jose.SignatureAlgorithm
	keys       jose.JSONWebKeySet
	asked      time.Time
	failed     error
	had        time.Time // when the keys were
}

// claims are those of a token that is signed by a key of the issuer, for the audience and of now.
func (i *issuer) claims(ctx context.Context, client *http.Client, audience, token string) (map[string]any, error) {
	signed, err := jose.ParseSigned(token, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, refusef("the token is not a signed one")
	}
	header := signed.Signatures[0].Header
	keys, supported, err := i.keysOf(ctx, client, header.KeyID)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(supported, jose.SignatureAlgorithm(header.Algorithm)) {
		return nil, refusef("the token is signed with %s, which its issuer does not use", quoted(header.Algorithm))
	}
	for _, key := range keys {
		if payload, err := signed.Verify(key.Key); err == nil {
			return i.read(payload, audience)
		}
	}
	return nil, refusef("the token is not signed by a key of its issuer")
}

// read returns the claims of a payload whose signature is good.
func (i *issuer) read(payload []byte, audience string) (map[string]any, error) {
	var standard struct {
		Issuer    string     `json:"iss"`
		Audience  recipients `json:"aud"`
		Expires   float64    `json:"exp"`
		NotBefore float64    `json:"nbf"`
	}
	var claims map[string]any
	if json.Unmarshal(payload, &standard) != nil || json.Unmarshal(payload, &claims) != nil || claims == nil {
		return nil, refusef("the token does not hold claims")
	}
	now := float64(time.Now().UnixMilli()) / 1000
	switch {
	case i.url != "" && standard.Issuer != i.url:
		return nil, refusef("the token is of another issuer")
	case !slices.Contains(standard.Audience, audience):
		return nil, refusef("the token is for another audience than %s", quoted(audience))
	case now > standard.Expires:
		return nil, refusef("the token has expired")
	case standard.NotBefore > now+early.Seconds():
		return nil, refusef("the token is not valid yet")
	}
	return claims, nil
}

// recipients is one text or several.
type recipients []string

func (a *recipients) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = recipients{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// keysOf are the issuer's keys of that id, or all of them without one, and the algorithms it uses. One asks while others
// wait, to the end even when its caller hangs up: what comes out is for all. An error is that they could not be had.
func (i *issuer) keysOf(ctx context.Context, client *http.Client, id string) ([]jose.JSONWebKey, []jose.SignatureAlgorithm, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	found := i.named(id)
	age := time.Since(i.asked)
	if age > keysFor || len(found) == 0 && age > keysAgain {
		i.asked, i.failed = time.Now(), i.ask(context.WithoutCancel(ctx), client)
		if i.failed != nil && time.Since(i.had) > keysAtMost {
			i.keys = jose.JSONWebKeySet{}
		}
		found = i.named(id)
	}
	if i.failed != nil && len(found) == 0 {
		return nil, nil, fmt.Errorf("the keys of issuer %s: %w", i.name(), i.failed)
	}
	return found, i.algorithms, nil
}

func (i *issuer) name() string {
	if i.url == "" {
		return "Google"
	}
	return i.url
}

func (i *issuer) named(id string) (keys []jose.JSONWebKey) {
	for _, key := range i.keys.Keys {
		if id == "" || key.KeyID == id {
			keys = append(keys, key)
		}
	}
	return keys
}

// ask has the issuer say where its keys are and which algorithms it uses, and then its keys (OpenID Connect Discovery 1.0).
func (i *issuer) ask(ctx context.Context, client *http.Client) error {
	keysAt, uses := i.keysAt, i.algorithms
	if i.url != "" {
		var found struct {
			Issuer     string                    `json:"issuer"`
			KeysAt     string                    `json:"jwks_uri"`
			Algorithms []jose.SignatureAlgorithm `json:"id_token_signing_alg_values_supported"`
		}
		if err := get(ctx, client, strings.TrimSuffix(i.url, "/")+"/.well-known/openid-configuration", &found); err != nil {
			return err
		}
		if found.Issuer != i.url {
			return errors.New("it says that it is another issuer: spec.oidcProviders has to have its URL letter by letter")
		}
		if parsed, err := url.Parse(found.KeysAt); err != nil || len(found.KeysAt) > maxKeysAt || parsed.User != nil {
			return errors.New("its jwks_uri is no URL, has a user, or has more than 2 KiB")
		}
		keysAt = found.KeysAt
		uses = slices.DeleteFunc(found.Algorithms, func(a jose.SignatureAlgorithm) bool { return !slices.Contains(algorithms, a) })
		if len(uses) == 0 {
			uses = []jose.SignatureAlgorithm{jose.RS256} // the one that every issuer has
		}
	}
	var keys jose.JSONWebKeySet
	if err := get(ctx, client, keysAt, &keys); err != nil {
		return err
	}
	i.keysAt, i.algorithms, i.keys, i.had = keysAt, uses, keys, time.Now()
	return nil
}

// get reads a JSON document. Its errors hold nothing of what the server says, nor the address, which a server may have said.
func get(ctx context.Context, client *http.Client, address string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errors.New("its address is no URL")
	}
	response, err := client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("it does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers with status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("its answer ended early: %w", err)
	case len(body) > maxAnswer:
		return errors.New("its answer is too large")
	case json.Unmarshal(body, into) != nil:
		return errors.New("its answer is not what an issuer says")
	}
	return nil
}
