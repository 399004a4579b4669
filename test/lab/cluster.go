package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ClusterConfig says what a cluster has.
type ClusterConfig struct {
	// Name is the kubeconfig's context. Empty: "lab".
	Name string
	// Dir keeps the cluster: data, certificates, logs, kubeconfig. Made when absent; a cluster started again on it has
	// the objects it had. Empty: a temporary directory that Stop removes.
	Dir string
	// Binary is the multi-call binary. Empty: KubeBinary's.
	Binary string
	// Progress takes lines about a long build of the binary. Nil drops them.
	Progress io.Writer
	// Audit has the API server keep the log that Requests reads.
	Audit bool
	// Podlet runs a podlet until Stop, so that Pods run.
	Podlet bool
	// NoControllers leaves kube-controller-manager out: no ReplicaSets, no garbage collection, and deleted namespaces
	// stay. A quarter less memory.
	NoControllers bool
	// APIServerArgs are added to the API server's own, such as --max-requests-inflight=20.
	APIServerArgs []string
	// StartTimeout bounds the start, a build of the binary not included. 0: two minutes, since machines can be busy.
	StartTimeout time.Duration
	// Log takes the podlet's messages. Nil drops them.
	Log *slog.Logger
}

// Cluster is a running Kubernetes control plane. It is safe for concurrent use.
type Cluster struct {
	config    ClusterConfig
	workspace *workspace // nil when the directory is the caller's
	authority *authority
	admin     *rest.Config
	requests  requestLog

	apiPort int

	mu          sync.Mutex
	etcd        *process
	api         *process
	controllers *process
	stopPodlet  func() error
}

// StartCluster starts etcd, the API server and, unless told otherwise, the controller manager, and returns when the API
// server is ready and the default namespace and its service account are there. The context bounds the start only.
func StartCluster(ctx context.Context, config ClusterConfig) (*Cluster, error) {
	config.Name = cmp.Or(config.Name, "lab")
	c := &Cluster{config: config}
	if err := c.start(ctx); err != nil {
		return nil, fmt.Errorf("start cluster %s: %w", config.Name, errors.Join(err, c.Stop()))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.config.Binary == "" {
		if c.config.Binary, err = KubeBinary(ctx, c.config.Progress); err != nil {
			return err
		}
	}
	if c.config.Dir == "" {
		if c.workspace, err = newWorkspace(); err != nil {
			return err
		}
		c.config.Dir = c.workspace.dir
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.startTimeout())
	defer cancel()
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.startEtcd(); err != nil {
		return err
	}
	// The API server waits for etcd by itself; so they start side by side.
	if err := c.placeAPIServer(ctx); err != nil {
		return err
	}
	if !c.config.NoControllers {
		if err := c.startControllers(ctx); err != nil {
			return err
		}
	}
	if c.config.Podlet {
		return c.startPodlet()
	}
	return nil
}

// prepare writes what the processes read: certificates, keys, the audit policy.
func (c *Cluster) prepare() error {
	if err := os.MkdirAll(c.config.Dir, 0o700); err != nil {
		return err
	}
	var err error
	if c.authority, err = loadAuthority(c.config.Dir); err != nil {
		return err
	}
	if _, err := loadKey(c.file("service-account.key")); err != nil {
		return err
	}
	server, err := c.authority.issue("kube-apiserver")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"apiserver.crt":     server.certificate,
		"apiserver.key":     server.key,
		"audit-policy.yaml": []byte(auditPolicy),
	} {
		if err := os.WriteFile(c.file(name), content, 0o600); err != nil {
			return err
		}
	}
	c.requests.path = c.file("audit.log")
	return nil
}

// REST is a client configuration of a cluster administrator, without a client-side rate limit. Each call returns a
// copy of its own.
func (c *Cluster) REST() *rest.Config { return rest.CopyConfig(c.admin) }

// RESTFor is a client configuration of a user in groups, who may do what RBAC in the cluster says.
func (c *Cluster) RESTFor(user string, groups ...string) (*rest.Config, error) {
	pair, err := c.authority.issue(user, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host: "https://" + loopback(c.apiPort),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   c.authority.pem,
			CertData: pair.certificate,
			KeyData:  pair.key,
		},
		QPS: -1,
	}, nil
}

// kubeconfigFor writes a kubeconfig file for RESTFor's user and returns its path.
func (c *Cluster) kubeconfigFor(user string, groups ...string) (path string, err error) {
	client, err := c.RESTFor(user, groups...)
	if err != nil {
		return "", err
	}
	path = c.file("kubeconfig-" + strings.ReplaceAll(user, ":", "-"))
	return path, c.writeKubeconfig(path, client)
}

// Kubeconfig is the path of a kubeconfig file with the same rights as REST; its context is the cluster's name.
func (c *Cluster) Kubeconfig() string { return c.file("kubeconfig") }

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.config.Name }

// Dir is where the cluster keeps everything, etcd.log, apiserver.log and controllers.log included.
func (c *Cluster) Dir() string { return c.config.Dir }

// Stop ends every process of the cluster, waits for that, and removes a temporary directory. It may be called more
// than once.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.stopPodlet != nil {
		err = c.stopPodlet()
		c.stopPodlet = nil
	}
	// By SIGKILL: an orderly end waits for watches to close and saves nothing, as etcd's file is written by then.
	c.controllers.kill()
	c.api.kill()
	c.etcd.kill()
	if c.workspace != nil {
		err = errors.Join(err, c.workspace.remove())
		c.workspace = nil
	}
	return err
}

func (c ClusterConfig) startTimeout() time.Duration { return cmp.Or(c.StartTimeout, 2*time.Minute) }

func (c *Cluster) file(name string) string { return filepath.Join(c.config.Dir, name) }

// writeKubeconfig gives a client configuration the form that command-line tools read.
func (c *Cluster) writeKubeconfig(file string, client *rest.Config) error {
	name := c.config.Name
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: client.Host, CertificateAuthorityData: client.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: client.CertData, ClientKeyData: client.KeyData}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, file)
}
