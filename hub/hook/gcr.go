package hook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// googleIssuers are how Google names itself in tokens.
var googleIssuers = []string{"accounts.google.com", "https://accounts.google.com"}

// gcr calls are pushed by Pub/Sub, with a token that Google has signed for a service account. The Secret says which one,
// and whom tokens are to be for. Filters see the registry's event that is wrapped in the message.
func gcr(ctx context.Context, c call) (Event, error) {
	email, audience := string(c.secret["email"]), string(c.secret["audience"])
	if email == "" || audience == "" {
		return Event{}, refusef("the Secret lacks the key email or audience, which type gcr needs")
	}
	token, err := c.bearer()
	if err != nil {
		return Event{}, err
	}
	claims, err := c.keys.GoogleClaims(ctx, audience, token)
	if err != nil {
		return Event{}, err
	}
	issuer, _ := claims["iss"].(string)
	account, _ := claims["email"].(string)
	verified, _ := claims["email_verified"].(bool)
	switch {
	case !slices.Contains(googleIssuers, issuer):
		return Event{}, refusef("the token is not of Google")
	case !same(account, []byte(email)):
		return Event{}, refusef("the token is of another account than the Secret's email")
	case !verified:
		return Event{}, refusef("the token's email is not verified")
	}
	var body struct {
		Message struct {
			Data         string    `json:"data"`
			MessageID    string    `json:"messageId"`
			PublishTime  time.Time `json:"publishTime"`
			Subscription string    `json:"subscription"`
		} `json:"message"`
	}
	if err := c.decode(&body); err != nil {
		return Event{}, err
	}
	var pushed struct {
		Action string `json:"action"`
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
	}
	wrapped, err := base64.StdEncoding.DecodeString(body.Message.Data)
	if err != nil || json.Unmarshal(wrapped, &pushed) != nil {
		return Event{}, unwantedf("message.data is not an event of a registry: JSON in base64")
	}
	content, err := json.Marshal(pushed)
	return Event{About: quoted(pushed.Tag), Content: content}, err
}

// bearer is the token of the caller.
func (c call) bearer() (string, error) {
	token, found := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
	if token = strings.TrimSpace(token); !found || token == "" {
		return "", refusef("header Authorization has no bearer token")
	}
	return token, nil
}
