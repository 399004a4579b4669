package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"flotilla.dev/flotilla/pkg/flux"
)

// Request is a call as it came.
type Request struct {
	Header http.Header
	Body   []byte
}

// Event is what a good call says.
type Event struct {
	// Name of the event, such as push; empty: calls of the type have none.
	Name string
	// About is what it is about, for people.
	About string
	// Content is the body that filters see; nil: they see none.
	Content []byte
	// Claims of the caller's token, of type generic-oidc.
	Claims map[string]any
}

// Refusal is why a call is not taken.
type Refusal struct {
	// Authentic calls come from whoever they should, and are not wanted.
	Authentic bool
	why       string
}

// Error tells nothing that the caller has sent, but for a name in quotes.
func (r *Refusal) Error() string { return r.why }

func refusef(format string, args ...any) error { return &Refusal{why: fmt.Sprintf(format, args...)} }

func unwantedf(format string, args ...any) error {
	return &Refusal{Authentic: true, why: fmt.Sprintf(format, args...)}
}

// Keys are those that issuers sign tokens with.
type Keys interface {
	// Claims are those of a token that the issuer has signed, if it is for the audience and of now. Of another token the
	// error is a Refusal.
	Claims(ctx context.Context, issuer, audience, token string) (map[string]any, error)
	// GoogleClaims are those of a token that Google has signed.
	GoogleClaims(ctx context.Context, audience, token string) (map[string]any, error)
}

// call is what a type's rule looks at.
type call struct {
	Request
	spec   flux.Receiver
	secret map[string][]byte
	keys   Keys
}

// token of the Receiver's Secret.
func (c call) token() []byte { return c.secret["token"] }

// rules are those of the types.
var rules = map[string]func(context.Context, call) (Event, error){
	flux.GenericReceiver:     generic,
	flux.GenericHMACReceiver: genericHMAC,
	flux.GenericOIDCReceiver: genericOIDC,
	flux.GitHubReceiver:      github,
	flux.GitLabReceiver:      gitlab,
	flux.BitbucketReceiver:   bitbucket,
	flux.HarborReceiver:      harbor,
	flux.DockerHubReceiver:   dockerHub,
	flux.QuayReceiver:        quay,
	flux.GCRReceiver:         gcr,
	flux.NexusReceiver:       nexus,
	flux.ACRReceiver:         acr,
	flux.CDEventsReceiver:    cdEvents,
}

// Verify returns what a call of a Receiver with that Secret says, if it is a good one. A call that is not gives a Refusal;
// any other error is that the keys of its issuer could not be had.
func Verify(ctx context.Context, spec flux.Receiver, secret map[string][]byte, request Request, keys Keys) (Event, error) {
	rule, known := rules[spec.Type]
	c := call{Request: request, spec: spec, secret: secret, keys: keys}
	switch {
	case !known:
		return Event{}, refusef("type %s is not known", quoted(spec.Type))
	case spec.Type != flux.GenericOIDCReceiver && len(c.token()) == 0:
		return Event{}, refusef("the Secret has no token")
	}
	event, err := rule(ctx, c)
	if !isJSON(request.Header) {
		event.Content = nil
	}
	return event, err
}

// isJSON reports whether a call says that its body is JSON.
func isJSON(header http.Header) bool {
	return slices.ContainsFunc(strings.Split(header.Get("Content-Type"), ","), func(part string) bool {
		kind, _, err := mime.ParseMediaType(part)
		return err == nil && kind == "application/json"
	})
}

// wanted refuses an authentic call of an event that the Receiver does not list.
func (c call) wanted(event string) error {
	if len(c.spec.Events) == 0 || slices.ContainsFunc(c.spec.Events, func(e string) bool { return strings.EqualFold(e, event) }) {
		return nil
	}
	return unwantedf("event %s is not in spec.events", quoted(event))
}

// decode reads what an authentic call says.
func (c call) decode(into any) error {
	if err := json.NewDecoder(strings.NewReader(string(c.Body))).Decode(into); err != nil {
		return unwantedf("the body is not what type %s sends: it does not decode from JSON", c.spec.Type)
	}
	return nil
}

// maxQuoted bounds what a caller's word takes in a log or an event.
const maxQuoted = 100

// quoted is a caller's word as it may be shown.
func quoted(text string) string {
	if len(text) > maxQuoted {
		text = text[:maxQuoted] + "..."
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?")
	}
	return fmt.Sprintf("%q", text)
}
