package flux_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestReceiversThatAreRefused(t *testing.T) {
	t.Parallel()
	const resources = `"resources":[{"kind":"GitRepository","name":"app"}]`
	const secret = `"secretRef":{"name":"webhook"}`
	const oidc = `"type":"generic-oidc","oidcProviders":[{"issuerURL":"https://issuer.example.com","validations":[{"expression":"true","message":"m"}]}]`
	provider := func(text string) string {
		return `{"type":"generic-oidc",` + resources + `,"oidcProviders":[` + text + `]}`
	}
	for spec, want := range map[string]string{
		`{"type":"github",` + secret + `,` + resources + `}`:                                                                                                              "",
		`{"type":"gitlab","interval":"5m","events":["Push Hook"],` + secret + `,` + resources + `}`:                                                                       "",
		`{` + oidc + `,` + resources + `}`:                                                                                                                                "",
		`{"type":"generic",` + secret + `,"resources":[{"kind":"HelmChart","name":"*","matchLabels":{}}]}`:                                                                "",
		`{"type":"generic",` + secret + `,"resources":[{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","name":"a.b","namespace":"x"}]}`:             "",
		provider(`{"issuerURL":"http://issuer:8080/a","audience":"x","variables":[{"name":"a_1","expression":"1"}],"validations":[{"expression":"true","message":"m"}]}`): "",

		`{` + secret + `,` + resources + `}`:                                                 "spec.type: is required",
		`{"type":"gitea",` + secret + `,` + resources + `}`:                                  `spec.type: "gitea" is not generic, `,
		`{"type":"github","interval":"5x",` + secret + `,` + resources + `}`:                 "spec.interval: ",
		`{"type":"github","interval":"0s",` + secret + `,` + resources + `}`:                 "spec.interval: must be more than zero",
		`{"type":"github","events":[""],` + secret + `,` + resources + `}`:                   "spec.events[0]: is required",
		`{"type":"harbor","events":["push"],` + secret + `,` + resources + `}`:               "spec.events: calls of type harbor name no event (those of github, gitlab, bitbucket, cdevents do)",
		`{"type":"github",` + resources + `}`:                                                "spec.secretRef: is required, unless the type is generic-oidc",
		`{"type":"github","secretRef":{},` + resources + `}`:                                 "spec.secretRef.name: is required",
		`{"type":"github",` + secret + `}`:                                                   "spec.resources: is required",
		`{"type":"github",` + secret + `,"resources":[]}`:                                    "spec.resources: is required",
		`{` + oidc + `,` + secret + `,` + resources + `}`:                                    "spec.secretRef: cannot be set for type generic-oidc",
		`{"type":"generic-oidc",` + resources + `}`:                                          "spec.oidcProviders: is required for type generic-oidc",
		strings.Replace(`{`+oidc+`,`+secret+`,`+resources+`}`, "generic-oidc", "generic", 1): "spec.oidcProviders: can only be set for type generic-oidc",

		`{"type":"github",` + secret + `,"resources":[{"name":"app"}]}`:                                              "spec.resources[0].kind: is required",
		`{"type":"github",` + secret + `,"resources":[{"kind":"Deployment","name":"app"}]}`:                          `spec.resources[0].kind: "Deployment" is not a kind that can be made due`,
		`{"type":"github",` + secret + `,"resources":[{"kind":"ImagePolicy","name":"app"}]}`:                         `spec.resources[0].kind: "ImagePolicy": not supported yet`,
		`{"type":"github",` + secret + `,"resources":[{"kind":"ImageRepository","name":"a"}]}`:                       `spec.resources[0].kind: "ImageRepository": not supported yet`,
		`{"type":"github",` + secret + `,"resources":[{"kind":"GitRepository"}]}`:                                    "spec.resources[0].name: is required",
		`{"type":"github",` + secret + `,"resources":[{"kind":"GitRepository","name":"A b"}]}`:                       `spec.resources[0].name: "A b" is neither a name nor *`,
		`{"type":"github",` + secret + `,"resources":[{"kind":"GitRepository","name":"a*"}]}`:                        `spec.resources[0].name: "a*" is neither`,
		`{"type":"github",` + secret + `,"resources":[{"kind":"GitRepository","name":"*"}]}`:                         "spec.resources[0].matchLabels: is required with the name *",
		`{"type":"github",` + secret + `,"resources":[{"kind":"GitRepository","name":"a","matchLabels":{"a":"b"}}]}`: "spec.resources[0].matchLabels: says nothing beside a name",
		`{"type":"github",` + secret + `,"resources":[{"kind":"GitRepository","name":"a","namespace":"a.b"}]}`:       `spec.resources[0].namespace: "a.b" is not a DNS label`,
		`{"type":"github",` + secret + `,"resources":[{"apiVersion":"v1","kind":"GitRepository","name":"a"}]}`:       `spec.resources[0].apiVersion: "v1" is not source.toolkit.fluxcd.io/v1`,

		provider(`{"validations":[{"expression":"true","message":"m"}]}`):                                                                                                       "spec.oidcProviders[0].issuerURL: is required",
		provider(`{"issuerURL":"ftp://x","validations":[{"expression":"true","message":"m"}]}`):                                                                                 `spec.oidcProviders[0].issuerURL: "ftp://x" does not begin with http`,
		provider(`{"issuerURL":"https://u:hunter2@x","validations":[{"expression":"true","message":"m"}]}`):                                                                     "spec.oidcProviders[0].issuerURL: holds credentials",
		provider(`{"issuerURL":"https://","validations":[{"expression":"true","message":"m"}]}`):                                                                                "spec.oidcProviders[0].issuerURL: names no host",
		provider(`{"issuerURL":"https://x?y","validations":[{"expression":"true","message":"m"}]}`):                                                                             "spec.oidcProviders[0].issuerURL: has a query",
		provider(`{"issuerURL":"https://x"}`):                                                                                                                                   "spec.oidcProviders[0].validations: is required: without one, whoever gets any token",
		provider(`{"issuerURL":"https://x","validations":[{"message":"m"}]}`):                                                                                                   "spec.oidcProviders[0].validations[0].expression: is required",
		provider(`{"issuerURL":"https://x","validations":[{"expression":"true"}]}`):                                                                                             "spec.oidcProviders[0].validations[0].message: is required",
		provider(`{"issuerURL":"https://x","variables":[{"expression":"1"}],"validations":[{"expression":"true","message":"m"}]}`):                                              "spec.oidcProviders[0].variables[0].name: is required",
		provider(`{"issuerURL":"https://x","variables":[{"name":"a-b","expression":"1"}],"validations":[{"expression":"true","message":"m"}]}`):                                 `spec.oidcProviders[0].variables[0].name: "a-b" is not a name`,
		provider(`{"issuerURL":"https://x","variables":[{"name":"a"}],"validations":[{"expression":"true","message":"m"}]}`):                                                    "spec.oidcProviders[0].variables[0].expression: is required",
		provider(`{"issuerURL":"https://x","validations":[{"expression":"true","message":"m"}]},{"issuerURL":"https://x","validations":[{"expression":"true","message":"m"}]}`): `spec.oidcProviders[1].issuerURL: "https://x" is given twice`,
	} {
		var receiver flux.Receiver
		if err := json.Unmarshal([]byte(spec), &receiver); err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		err := receiver.Validate()
		switch {
		case want == "" && err != nil, want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", spec, err, want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error holds the password: %v", spec, err)
		}
	}
}

// What Flux has registered at senders is what is served here.
func TestPathsOfWebhooksAreFluxs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ token, name, namespace string }{
		{"test-token", "gcr-secret", "my-namespace"}, {"", "a", "b"}, {"\xff\x00", "github-receiver", "flux-system"},
	} {
		receiver := notificationv1.Receiver{}
		receiver.Name, receiver.Namespace = test.name, test.namespace
		if got, want := flux.WebhookPath(test.token, test.name, test.namespace), receiver.GetWebhookPath(test.token); got != want {
			t.Errorf("%+v: %s, Flux has %s", test, got, want)
		}
	}
}

func TestReceiverDefaultsAreFluxs(t *testing.T) {
	t.Parallel()
	for _, interval := range []string{"", "90s"} {
		var mine flux.Receiver
		var fluxs notificationv1.Receiver
		raw := `{}`
		if interval != "" {
			raw = `{"interval":"` + interval + `"}`
		}
		if err := errors.Join(json.Unmarshal([]byte(raw), &mine), json.Unmarshal([]byte(raw), &fluxs.Spec)); err != nil {
			t.Fatal(err)
		}
		if got, want := mine.GetInterval(), fluxs.GetInterval(); got != want || got == time.Duration(0) {
			t.Errorf("interval %q is %s, in Flux %s", interval, got, want)
		}
	}
	for _, audience := range []string{"", "flotilla"} {
		mine, fluxs := flux.OIDCProvider{Audience: audience}, notificationv1.OIDCProvider{Audience: audience}
		if got, want := mine.GetAudience(), fluxs.GetAudience(); got != want {
			t.Errorf("audience %q is %q, in Flux %q", audience, got, want)
		}
	}
}

// The version of Flux's API whose fields these are is that of the module in go.mod.
func TestEveryFieldThatFluxHasOfAReceiverIsTaken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ mine, fluxs reflect.Type }{
		{reflect.TypeFor[flux.Receiver](), reflect.TypeFor[notificationv1.ReceiverSpec]()},
		{reflect.TypeFor[flux.ReceiverResource](), reflect.TypeFor[notificationv1.ReceiverResource]()},
		{reflect.TypeFor[flux.OIDCProvider](), reflect.TypeFor[notificationv1.OIDCProvider]()},
		{reflect.TypeFor[flux.OIDCVariable](), reflect.TypeFor[notificationv1.OIDCVariable]()},
		{reflect.TypeFor[flux.OIDCValidation](), reflect.TypeFor[notificationv1.OIDCValidation]()},
	} {
		if mine, fluxs := jsonFields(test.mine), jsonFields(test.fluxs); !slices.Equal(mine, fluxs) {
			t.Errorf("%s has %v, Flux's %v", test.mine, mine, fluxs)
		}
	}
	var listed []string
	for _, field := range flux.ReceiverFields {
		listed = append(listed, field.Path)
	}
	slices.Sort(listed)
	if taken := jsonFields(reflect.TypeFor[flux.Receiver]()); !slices.Equal(taken, listed) {
		t.Errorf("a Receiver takes %v, its table lists %v", taken, listed)
	}
	if !slices.Equal(slices.Sorted(slices.Values(flux.ReceiverTypes)), []string{
		notificationv1.ACRReceiver, notificationv1.BitbucketReceiver, notificationv1.CDEventsReceiver, notificationv1.DockerHubReceiver,
		notificationv1.GCRReceiver, notificationv1.GenericReceiver, notificationv1.GenericHMACReceiver, notificationv1.GenericOIDCReceiver,
		notificationv1.GitHubReceiver, notificationv1.GitLabReceiver, notificationv1.HarborReceiver, notificationv1.NexusReceiver, notificationv1.QuayReceiver,
	}) {
		t.Errorf("types are %v", flux.ReceiverTypes)
	}
}

// jsonFields are the names of a struct's fields in JSON.
func jsonFields(kind reflect.Type) (names []string) {
	for _, field := range reflect.VisibleFields(kind) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
