package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// secretKey is the key in a Kubernetes Secret of the cluster that the hub runs in, or that a kubeconfig names. The account
// needs the rights to get that Secret, and to create Secrets there for the first start, or somebody makes it before.
type secretKey struct {
	reference  string
	kubeconfig string
}

// secretReference is NAMESPACE/NAME/KEY.
type secretReference struct{ namespace, name, key string }

var (
	secretName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
	dataKey    = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)
)

func parseSecretReference(text string) (secretReference, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 2 {
		parts = append(parts, "key")
	}
	if len(parts) != 3 || !secretName.MatchString(parts[0]) || !secretName.MatchString(parts[1]) || !dataKey.MatchString(parts[2]) {
		return secretReference{}, fmt.Errorf("--key-secret %q is not NAMESPACE/NAME or NAMESPACE/NAME/KEY", text)
	}
	return secretReference{parts[0], parts[1], parts[2]}, nil
}

func (s secretKey) String() string { return "Secret " + s.reference }
func (s secretKey) wayOut() string { return "--key-secret" }

// secretObject is as much of a Secret as the key needs.
type secretObject struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]any    `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

func (s secretKey) load(ctx context.Context) (identity.Root, error) {
	ref, err := parseSecretReference(s.reference)
	if err != nil {
		return identity.Root{}, err
	}
	var found secretObject
	if err := s.call(ctx, http.MethodGet, "/api/v1/namespaces/"+ref.namespace+"/secrets/"+ref.name, nil, &found); err != nil {
		return identity.Root{}, fmt.Errorf("read the key from %s: %w", s, err)
	}
	key, there := found.Data[ref.key]
	if !there {
		return identity.Root{}, fmt.Errorf("read the key from %s: %w: the Secret has no key %s; name another, or remove the Secret for a new one beside an empty database", s, fleet.ErrInvalid, ref.key)
	}
	root, err := identity.RootOf(key)
	if err != nil {
		return identity.Root{}, fmt.Errorf("read the key from %s: %w", s, err)
	}
	return root, nil
}

// create makes the Secret. When another replica made it just now, that one is the key.
func (s secretKey) create(ctx context.Context) (identity.Root, error) {
	ref, err := parseSecretReference(s.reference)
	if err != nil {
		return identity.Root{}, err
	}
	made := secretObject{
		APIVersion: "v1", Kind: "Secret", Type: "Opaque", Data: map[string][]byte{ref.key: identity.NewKey()},
		Metadata: map[string]any{"name": ref.name, "namespace": ref.namespace, "labels": map[string]string{"app.kubernetes.io/part-of": "flotilla"}},
	}
	err = s.call(ctx, http.MethodPost, "/api/v1/namespaces/"+ref.namespace+"/secrets?fieldManager=flotilla-hub", made, nil)
	if err != nil && !errors.Is(err, fleet.ErrExists) {
		return identity.Root{}, fmt.Errorf("make a new key in %s: %w", s, err)
	}
	return s.load(ctx)
}

// Bounds of a call.
const (
	secretTime = 30 * time.Second
	maxSecret  = 2 << 20
)

// call makes one request of the API server. Its errors hold nothing of the answer, which may be the key.
func (s secretKey) call(ctx context.Context, method, path string, body, answer any) error {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return fmt.Errorf("%w: there is no way to the cluster: run in a Pod with a service account, or give --kubeconfig", fleet.ErrInvalid)
	}
	config.Timeout = secretTime
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("%w: the kubeconfig is not understood", fleet.ErrInvalid)
	}
	defer client.CloseIdleConnections()
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return fmt.Errorf("%w: the kubeconfig names no server", fleet.ErrInvalid)
	}
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base.String(), "/")+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: the API server does not answer: %w", fleet.ErrUnavailable, err)
	}
	defer res.Body.Close()
	if err := secretProblem(res.StatusCode, method); err != nil || answer == nil {
		return err
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxSecret)).Decode(answer); err != nil {
		return fmt.Errorf("%w: the API server's answer is not understood", fleet.ErrUnavailable)
	}
	return nil
}

func secretProblem(status int, method string) error {
	verb := "get"
	if method == http.MethodPost {
		verb = "create"
	}
	switch {
	case status == http.StatusOK || status == http.StatusCreated:
		return nil
	case status == http.StatusNotFound && verb == "create":
		return fmt.Errorf("%w: the namespace is not there; make it first", fleet.ErrInvalid)
	case status == http.StatusNotFound:
		return fleet.ErrNotFound
	case status == http.StatusConflict:
		return fleet.ErrExists
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fmt.Errorf("%w: the hub's account has not the right to %s that Secret", fleet.ErrDenied, verb)
	}
	return fmt.Errorf("%w: the API server answered %d", fleet.ErrUnavailable, status)
}
