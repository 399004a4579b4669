package spoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
	"flotilla.dev/flotilla/spoke/session"
)

// factsTimeout bounds the wait for what is only nice to know.
const factsTimeout = 5 * time.Second

// cluster is the API server, as far as the spoke's own objects go.
type cluster struct {
	config    *rest.Config
	namespace string
	log       *slog.Logger

	namespaces corev1client.NamespaceInterface
	secrets    corev1client.SecretInterface
	leases     coordinationv1client.LeaseInterface
	requests   rest.Interface
	metadata   metadata.Interface
	// anySecrets are those of a namespace.
	anySecrets func(namespace string) corev1client.SecretInterface

	mu    sync.Mutex
	known fleet.ClusterFacts
}

// newCluster makes the clients; it asks nothing of the cluster.
func newCluster(config Config) (*cluster, error) {
	how, err := config.rest()
	if err != nil {
		return nil, err
	}
	typed := rest.CopyConfig(how)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	http, err := rest.HTTPClientFor(typed)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	meta, err3 := metadata.NewForConfig(how)
	core, err1 := corev1client.NewForConfigAndClient(typed, http)
	coordination, err2 := coordinationv1client.NewForConfigAndClient(typed, http)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return &cluster{
		config: how, namespace: config.Namespace, log: config.Log, namespaces: core.Namespaces(),
		secrets: core.Secrets(config.Namespace), leases: coordination.Leases(config.Namespace), requests: core.RESTClient(),
		anySecrets: core.Secrets, metadata: meta,
		known: fleet.ClusterFacts{SpokeVersion: telemetry.Version()},
	}, nil
}

// identity is what the cluster is to the hub.
func (c *cluster) identity() *session.Secret { return session.NewSecret(c.secrets, ownName) }

// mark tells the cluster from others.
func (c *cluster) mark(ctx context.Context) (fleet.ClusterMark, error) {
	own, err := c.identity().Load(ctx)
	return fleet.ClusterMark{ID: own.ClusterID.String(), Name: own.ClusterName, Namespace: c.namespace}, err
}

// ensureNamespace returns when the spoke's namespace is there, or ctx ends. However long the API server takes, it goes
// on trying.
func (c *cluster) ensureNamespace(ctx context.Context) error {
	back := run.Backoff{Min: time.Second, Max: 10 * time.Second}
	told := ""
	for {
		err := c.makeNamespace(ctx)
		if err == nil {
			return nil
		}
		if text := err.Error(); text != told {
			c.log.Warn("the spoke's namespace is not there yet; trying on", telemetry.KeyErr, err)
			told = text
		}
		if err := run.Sleep(ctx, back.Next()); err != nil {
			return err
		}
	}
}

func (c *cluster) makeNamespace(ctx context.Context) error {
	_, err := c.namespaces.Get(ctx, c.namespace, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	_, err = c.namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.namespace}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// facts are what the hub is told of the cluster; what cannot be found out now is as it was before.
func (c *cluster) facts(ctx context.Context) fleet.ClusterFacts {
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if raw, err := c.requests.Get().AbsPath("/version").SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx).Raw(); err == nil {
		var info version.Info
		if json.Unmarshal(raw, &info) == nil {
			c.known.KubernetesVersion = info.GitVersion
		}
	}
	if c.known.KubeSystemUID == "" {
		if system, err := c.namespaces.Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{}); err == nil {
			c.known.KubeSystemUID = string(system.UID)
		}
	}
	return c.known
}
