package oci

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"golang.org/x/oauth2"

	"flotilla.dev/flotilla/hub/source"
	hub "flotilla.dev/flotilla/hub/source/identity"
)

// gar logs in to Google's registries, whose password is a token of the hub's identity.
type gar struct {
	token func(ctx context.Context) (*oauth2.Token, error)
}

var garHost = regexp.MustCompile(`^(([a-z0-9-]+\.)*gcr\.io|[a-z0-9-]+-docker\.pkg\.dev)$`)

// Login implements Identity.
func (g *gar) Login(ctx context.Context, host string) (username, password string, until time.Time, err error) {
	if !garHost.MatchString(host) {
		return "", "", time.Time{}, fmt.Errorf("%q is not a registry at Google Cloud", source.Shown(host))
	}
	token, err := g.token(ctx)
	if err != nil {
		return "", "", time.Time{}, fmt.Errorf("the hub's identity at Google Cloud: %w", err)
	}
	return "oauth2accesstoken", token.AccessToken, token.Expiry, nil
}

// googleToken is one of the hub's identity.
func googleToken(ctx context.Context) (*oauth2.Token, error) {
	own, err := hub.Google(ctx, "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		return nil, err
	}
	return own.Token()
}
