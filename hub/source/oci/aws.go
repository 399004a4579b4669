package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"flotilla.dev/flotilla/hub/source"
	hub "flotilla.dev/flotilla/hub/source/identity"
)

// ecr logs in to Amazon's registries: the hub's identity signs a request to the registry's region, whose answer is a user and
// a password.
type ecr struct {
	client      *http.Client
	credentials func(ctx context.Context) (aws.Credentials, error)
	// endpoint is the API of a registry's region, or of the public registry.
	endpoint func(registry ecrRegistry) string
}

// ecrRegistry is what a registry's host says.
type ecrRegistry struct {
	region, domain string
	fips, public   bool
}

const publicECR = "public.ecr.aws"

var ecrHost = regexp.MustCompile(`^[0-9]+\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.(amazonaws\.com|amazonaws\.com\.cn|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

func parseECR(host string) (ecrRegistry, error) {
	if host == publicECR { // its API is in that region alone
		return ecrRegistry{region: "us-east-1", domain: "amazonaws.com", public: true}, nil
	}
	parts := ecrHost.FindStringSubmatch(host)
	if parts == nil {
		return ecrRegistry{}, fmt.Errorf("%q is not a registry at AWS", source.Shown(host))
	}
	return ecrRegistry{region: parts[2], domain: parts[3], fips: parts[1] != ""}, nil
}

func ecrEndpoint(r ecrRegistry) string {
	switch {
	case r.public:
		return "https://api.ecr-public.us-east-1.amazonaws.com/"
	case r.fips:
		return "https://ecr-fips." + r.region + "." + r.domain + "/"
	}
	return "https://api.ecr." + r.region + "." + r.domain + "/"
}

// Login implements Identity.
func (e *ecr) Login(ctx context.Context, host string) (username, password string, until time.Time, err error) {
	registry, err := parseECR(host)
	if err != nil {
		return "", "", time.Time{}, err
	}
	keys, err := e.credentials(ctx)
	if err != nil {
		return "", "", time.Time{}, fmt.Errorf("the hub's identity at AWS: %w", err)
	}
	body := []byte("{}")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint(registry), bytes.NewReader(body))
	if err != nil {
		return "", "", time.Time{}, err
	}
	service, target := "ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
	if registry.public {
		service, target = "ecr-public", "SpencerFrontendService.GetAuthorizationToken"
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), service, registry.region, time.Now()); err != nil {
		return "", "", time.Time{}, err
	}
	var answer struct {
		Data json.RawMessage `json:"authorizationData"`
	}
	if err := exchange(e.client, req, &answer); err != nil {
		return "", "", time.Time{}, err
	}
	return parseECRToken(answer.Data)
}

// parseECRToken reads what is an object for the public registry, and a list of one for others.
func parseECRToken(data json.RawMessage) (username, password string, until time.Time, err error) {
	type authorization struct {
		Token   string  `json:"authorizationToken"`
		Expires float64 `json:"expiresAt"`
	}
	var one authorization
	if json.Unmarshal(data, &one) != nil {
		var list []authorization
		if json.Unmarshal(data, &list) != nil || len(list) == 0 {
			return "", "", time.Time{}, errors.New("log in: the answer has no authorization")
		}
		one = list[0]
	}
	decoded, err := base64.StdEncoding.DecodeString(one.Token)
	username, password, found := strings.Cut(string(decoded), ":")
	if err != nil || !found || password == "" {
		return "", "", time.Time{}, errors.New("log in: the answer has no user and password")
	}
	return username, password, time.Unix(int64(one.Expires), 0), nil
}

// awsCredentials are the hub's.
func awsCredentials(ctx context.Context) (aws.Credentials, error) {
	value, err := credentials.New(hub.AWS("")).GetWithContext(&credentials.CredContext{Context: ctx})
	if err != nil {
		return aws.Credentials{}, err
	}
	if value.AccessKeyID == "" || value.SecretAccessKey == "" { // nobody is no error there
		return aws.Credentials{}, errors.New("it has none")
	}
	return aws.Credentials{AccessKeyID: value.AccessKeyID, SecretAccessKey: value.SecretAccessKey, SessionToken: value.SessionToken}, nil
}
