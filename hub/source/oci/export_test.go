package oci

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/aws/aws-sdk-go-v2/aws"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/oauth2"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// What tests put in the place of clouds.

func NewECR(client *http.Client, endpoint string) Identity {
	return &ecr{
		client: client,
		credentials: func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "canary"}, nil
		},
		endpoint: func(ecrRegistry) string { return endpoint },
	}
}

func NewACR(client *http.Client, endpoint string) Identity {
	return &acr{
		client: client,
		token: func(_ context.Context, at cloud.Configuration) (string, error) {
			return "canary-of-" + at.Services[cloud.ResourceManager].Endpoint, nil
		},
		endpoint: func(string) string { return endpoint },
	}
}

func NewGAR(token *oauth2.Token, err error) Identity {
	return &gar{token: func(context.Context) (*oauth2.Token, error) { return token, err }}
}

// ECREndpoint is the API for a registry's host.
func ECREndpoint(host string) (string, error) {
	registry, err := parseECR(host)
	return ecrEndpoint(registry), err
}

var (
	ParseManifest     = parseManifest
	ParseDockerConfig = func(data []byte, host, repository string) (found bool, err error) {
		entries, err := parseDockerConfig(data)
		if err != nil {
			return false, err
		}
		chosen, found := choose(entries, host, repository)
		if found {
			_, err = chosen.credential()
		}
		return found, err
	}
	Challenges = challenges
)

// WithIdentity is a repository apps/podinfo that is logged in to, over plain HTTP, which nobody but a test can have.
func WithIdentity(t *testing.T, identity Identity, host string) *repository {
	t.Helper()
	client := newClient(source.NewNetwork(source.NetworkConfig{Metrics: source.NewMetrics(nil)}), nil)
	address := "oci://" + host + "/apps/podinfo"
	made, err := client.open(source.Upstream{Kind: "OCIRepository", URL: address}, access{URL: address, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	made.session.identity = identity
	return made
}

// Digest asks a repository what a tag points to.
func Digest(ctx context.Context, r *repository, tag string) (string, error) {
	return r.digest(ctx, tag, time.Time{})
}

// Forget makes a repository log in again.
func Forget(r *repository) { r.session.basic = false }

// Layer, Platform and Metadata are a manifest's.
func Layer(m *Manifest, s *flux.LayerSelector) (ocispec.Descriptor, error) {
	return m.layer(s, "asked for")
}
func Platform(m *Manifest) (ocispec.Descriptor, error) { return m.platform() }
func Metadata(m *Manifest) map[string]string           { return m.metadata() }
