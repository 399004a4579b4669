package git

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

// appKey is what a Secret says of a GitHub App.
type appKey struct {
	id                  string
	installation, owner string // one of them
	base                *url.URL
	key                 *rsa.PrivateKey
}

// defaultAppURL is GitHub's own API.
const defaultAppURL = "https://api.github.com"

var (
	appID    = regexp.MustCompile(`^[A-Za-z0-9.]{1,64}$`)
	appOwner = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

func appKeyOf(secret map[string][]byte) (*appKey, error) {
	text := func(key string) string { return strings.TrimSpace(string(secret[key])) }
	a := &appKey{id: text("githubAppID"), installation: text("githubAppInstallationID"), owner: text("githubAppInstallationOwner")}
	for _, key := range []string{"githubAppID", "githubAppPrivateKey"} {
		if text(key) == "" {
			return nil, problem("spec.provider is github, and the Secret has no key " + key)
		}
	}
	switch {
	case a.installation == "" && a.owner == "":
		return nil, problem("the Secret needs githubAppInstallationID, or githubAppInstallationOwner")
	case a.installation != "" && a.owner != "":
		return nil, problem("the Secret has githubAppInstallationID and githubAppInstallationOwner; keep one of them")
	case !appID.MatchString(a.id) || a.installation != "" && !appID.MatchString(a.installation):
		return nil, problem("githubAppID and githubAppInstallationID of the Secret are numbers, as GitHub shows them")
	case a.owner != "" && !appOwner.MatchString(a.owner):
		return nil, problem("githubAppInstallationOwner of the Secret is not the name of an organisation or a user")
	}
	base := text("githubAppBaseURL")
	if base == "" {
		base = defaultAppURL
	}
	var err error
	if a.base, err = url.Parse(strings.TrimSuffix(base, "/")); err != nil || a.base.Host == "" || a.base.User != nil || a.base.Scheme != "https" && a.base.Scheme != "http" {
		return nil, problem("githubAppBaseURL of the Secret is not the URL of an API, such as https://github.example.com/api/v3")
	}
	a.key, err = readRSA(secret["githubAppPrivateKey"])
	return a, err
}

func readRSA(data []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, problem("githubAppPrivateKey of the Secret is not in PEM form")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, isRSA := parsed.(*rsa.PrivateKey); err == nil && isRSA {
		return key, nil
	}
	return nil, problem("githubAppPrivateKey of the Secret is not the RSA key that GitHub gave")
}

// appToken has a GitHub App's token of an installation.
type appToken struct {
	app     *appKey
	network *source.Network
	client  *http.Client
}

// token asks for a new one, which the app's key is exchanged for.
func (t *appToken) token(ctx context.Context, u source.Upstream) (string, time.Time, error) {
	api := u
	api.URL = t.app.base.String()
	done, err := t.network.Turn(ctx, api)
	if err != nil {
		return "", time.Time{}, err
	}
	defer done()
	installation := t.app.installation
	if installation == "" {
		if installation, err = t.installationOf(ctx, api); err != nil {
			return "", time.Time{}, err
		}
	}
	var answer struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	status, err := t.ask(ctx, http.MethodPost, "/app/installations/"+installation+"/access_tokens", &answer)
	switch {
	case err != nil:
		return "", time.Time{}, err
	case status != http.StatusCreated || answer.Token == "":
		return "", time.Time{}, t.refused(api, status, "there is no such installation (githubAppInstallationID)")
	}
	return answer.Token, answer.ExpiresAt, nil
}

// installationOf is the installation at an organisation or a user.
func (t *appToken) installationOf(ctx context.Context, api source.Upstream) (string, error) {
	status := 0
	for _, sort := range []string{"orgs", "users"} {
		var answer struct {
			ID json.Number `json:"id"`
		}
		var err error
		if status, err = t.ask(ctx, http.MethodGet, "/"+sort+"/"+t.app.owner+"/installation", &answer); err != nil {
			return "", err
		}
		if status == http.StatusOK && appID.MatchString(answer.ID.String()) {
			return answer.ID.String(), nil
		}
		if status != http.StatusNotFound {
			break
		}
	}
	return "", t.refused(api, status, "the App is not installed at githubAppInstallationOwner")
}

func (t *appToken) refused(api source.Upstream, status int, absent string) error {
	switch status {
	case http.StatusNotFound:
		return api.Fail(source.KindAuth, "%s; correct the Secret", absent)
	case http.StatusUnauthorized, http.StatusForbidden:
		return api.Fail(source.KindAuth, "GitHub does not take the App's key; are githubAppID and githubAppPrivateKey of one App, and is the hub's clock right?")
	}
	return api.Fail(source.KindServer, "GitHub gave no token: it answered %d (%s); it is tried again", status, http.StatusText(status))
}

func (t *appToken) ask(ctx context.Context, method, path string, answer any) (status int, err error) {
	assertion, err := t.app.assertion(time.Now())
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, method, t.app.base.String()+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+assertion)
	request.Header.Set("Accept", "application/vnd.github+json")
	response, err := t.client.Do(request)
	if err != nil {
		return 0, err
	}
	data, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return 0, err
	}
	if len(data) > 0 && json.NewDecoder(bytes.NewReader(data)).Decode(answer) != nil {
		return http.StatusBadGateway, nil // an answer that is none
	}
	return response.StatusCode, nil
}

// assertion is a JWT (RFC 7519) that the app's key signs: it is who it says, for ten minutes.
func (a *appKey) assertion(now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": a.id})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign for a GitHub App: %w", err)
	}
	return text + "." + encode(signature), nil
}
