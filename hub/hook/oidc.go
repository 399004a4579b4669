package hook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/flux"
)

// genericOIDC calls have a token of an issuer that the Receiver lists, with claims that its validations accept.
func genericOIDC(ctx context.Context, c call) (Event, error) {
	token, err := c.bearer()
	if err != nil {
		return Event{}, err
	}
	issuer := claimedIssuer(token)
	i := slices.IndexFunc(c.spec.OIDCProviders, func(p flux.OIDCProvider) bool { return p.IssuerURL == issuer })
	if i < 0 {
		return Event{}, refusef("the token is of no issuer in spec.oidcProviders, or none")
	}
	provider := c.spec.OIDCProviders[i]
	claims, err := c.keys.Claims(ctx, provider.IssuerURL, provider.GetAudience(), token)
	if err != nil {
		return Event{}, err
	}
	rules, err := expr.NewClaims("", provider)
	if err != nil {
		return Event{}, refusef("an expression of spec.oidcProviders does not compile")
	}
	if err := rules.Check(claims); err != nil {
		return Event{}, unwantedf("the token is refused: %s", err)
	}
	return Event{Content: c.Body, Claims: claims}, nil
}

// claimedIssuer is whom a token says that it is of: until it is verified that only chooses by whose keys. Empty: it is no
// token.
func claimedIssuer(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}
