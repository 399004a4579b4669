package sdk

import (
	"fmt"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"flotilla.dev/flotilla/pkg/telemetry"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// way is how the cluster is reached: as the spoke itself, and as the account that the App acts as.
type way struct {
	own       *rest.Config
	acting    *rest.Config
	namespace string
	// persistent has what the API server serves asked for once, not for every use (spec.persistentClient).
	persistent bool

	mu     sync.Mutex
	client discovery.CachedDiscoveryInterface
	mapper meta.RESTMapper
}

func newWay(j job.Job) (*way, error) {
	c := j.Connection
	own := &rest.Config{
		Host: c.Host, APIPath: c.APIPath, BearerToken: c.BearerToken, BearerTokenFile: c.BearerTokenFile, Username: c.Username, Password: c.Password,
		TLSClientConfig: rest.TLSClientConfig{
			Insecure: c.Insecure, ServerName: c.ServerName, CAFile: c.CAFile, CAData: c.CAData,
			CertFile: c.CertFile, CertData: c.CertData, KeyFile: c.KeyFile, KeyData: c.KeyData,
		},
		QPS:       -1, // the API server's priority and fairness rules
		UserAgent: "flotilla-helm/" + telemetry.Version(),
	}
	own.Wrap(retrying)
	if own.Host == "" {
		return nil, fmt.Errorf("no way to the cluster: the job names no host")
	}
	acting := rest.CopyConfig(own)
	acting.Impersonate = rest.ImpersonationConfig{UserName: c.User}
	persistent := j.Plan.Spec.PersistentClient
	return &way{own: own, acting: acting, namespace: j.Namespace, persistent: persistent == nil || *persistent}, nil
}

// getter is a way as Helm takes it, which ends with the action that uses it.
type getter struct {
	*way
	config *rest.Config
}

// until is the way of one action: calls that come after the action has been cut short are refused.
func (w *way) until(a *action) *getter {
	config := rest.CopyConfig(w.acting)
	config.Wrap(a.refuseWhenCut)
	return &getter{w, config}
}

// lookups is a way that Helm gives to the templates alone. A template may ask for whatever it has put together itself, so that
// what is in it does not tell whether it looks something up; its requests do.
type lookups struct {
	*getter
	sdk *SDK
}

// ToRESTConfig implements helm.RESTClientGetter.
func (l *lookups) ToRESTConfig() (*rest.Config, error) {
	config, err := l.getter.ToRESTConfig()
	if err == nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				l.sdk.lookedUp.Store(true)
				return next.RoundTrip(r)
			})
		})
	}
	return config, err
}

// ToRESTConfig implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

// ToDiscoveryClient implements genericclioptions.RESTClientGetter.
func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	client, _, err := g.discover()
	return client, err
}

// ToRESTMapper implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	_, mapper, err := g.discover()
	return mapper, err
}

func (g *getter) discover() (discovery.CachedDiscoveryInterface, meta.RESTMapper, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.persistent && g.client != nil {
		return g.client, g.mapper, nil
	}
	plain, err := discovery.NewDiscoveryClientForConfig(g.acting)
	if err != nil {
		return nil, nil, err
	}
	g.client = memory.NewMemCacheClient(plain)
	g.mapper = restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(g.client), g.client, nil)
	return g.client, g.mapper, nil
}

// ToRawKubeConfigLoader implements genericclioptions.RESTClientGetter. It tells the namespace; no file is read.
func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}
