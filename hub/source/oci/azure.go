package oci

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"flotilla.dev/flotilla/hub/source"
	hub "flotilla.dev/flotilla/hub/source/identity"
)

// acr logs in to Azure's registries: the registry exchanges a token of the hub's identity for one of its own, which is the
// password of a user that is nobody.
type acr struct {
	client *http.Client
	token  func(ctx context.Context, at cloud.Configuration) (string, error)
	// endpoint is the address of a registry.
	endpoint func(host string) string
}

var acrHost = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*\.azurecr\.(io|cn|de|us)$`)

// nobody is the user of a token.
const nobody = "00000000-0000-0000-0000-000000000000"

// Login implements Identity.
func (a *acr) Login(ctx context.Context, host string) (username, password string, until time.Time, err error) {
	if !acrHost.MatchString(host) {
		return "", "", time.Time{}, fmt.Errorf("%q is not a registry at Azure", source.Shown(host))
	}
	at := cloud.AzurePublic
	switch {
	case strings.HasSuffix(host, ".cn"):
		at = cloud.AzureChina
	case strings.HasSuffix(host, ".us"):
		at = cloud.AzureGovernment
	}
	token, err := a.token(ctx, at)
	if err != nil {
		return "", "", time.Time{}, fmt.Errorf("the hub's identity at Azure: %w", err)
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {token}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoint(host)+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", time.Time{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		Refresh string `json:"refresh_token"`
	}
	if err := exchange(a.client, req, &answer); err != nil {
		return "", "", time.Time{}, err
	}
	if !text(answer.Refresh) {
		return "", "", time.Time{}, errors.New("log in: the answer has no token")
	}
	return nobody, answer.Refresh, expiry(answer.Refresh), nil
}

// expiry is what a token (a JWT) says of its end. It is not verified: the registry is who has to believe it.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if len(parts) == 3 {
		if data, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(data, &claims) == nil && claims.Expires > 0 {
			return time.Unix(claims.Expires, 0)
		}
	}
	return time.Now().Add(time.Hour)
}

// azureToken is one of the hub's identity.
func azureToken(ctx context.Context, at cloud.Configuration) (string, error) {
	own, err := hub.Azure(at, "")
	if err != nil {
		return "", err
	}
	token, err := own.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{at.Services[cloud.ResourceManager].Endpoint + "/.default"}})
	return token.Token, err
}
