package spoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/telemetry"
	"flotilla.dev/flotilla/spoke/cache"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/spoke/worker"
)

// DefaultNamespace is where a spoke keeps what is its own.
const DefaultNamespace = "flotilla-system"

// ownName is that of the spoke's Secret and Lease.
const ownName = "flotilla-spoke"

// Config is what a spoke is started with. Zero fields are the defaults, where there is one.
type Config struct {
	// Hub is the hub's address for spokes, host:port. Required.
	Hub string
	// Token is the join token; it is needed until the cluster is enrolled.
	Token string
	// Kubeconfig is the file that says how to reach the cluster; empty: the service account of the Pod.
	Kubeconfig string
	// REST replaces Kubeconfig.
	REST *rest.Config
	// DataDir is a directory on a volume that may be lost; one spoke at a time uses it. Default: /var/lib/flotilla-spoke
	// with the service account of the Pod, else $XDG_STATE_HOME/flotilla-spoke/SERVER, which has to be writable.
	DataDir string
	// Namespace holds the spoke's Secret, Lease and inventories; default flotilla-system, made when absent.
	Namespace string
	// HTTPListen is for metrics and probes; empty: off.
	HTTPListen string
	// Concurrency is how many passes run at once; default 4.
	Concurrency int
	// CacheBytes bounds the blobs kept in DataDir; default 512 MiB.
	CacheBytes int64
	// HelmBytes bound the memory that Helm may use for one release; default 512 MiB, or what the container has for one.
	HelmBytes int64
	// DefaultServiceAccount is who acts for Apps that name no ServiceAccount, each in its own namespace; empty: the spoke
	// itself.
	DefaultServiceAccount string
	// Dialer replaces the network to the hub; nil: TCP.
	Dialer func(ctx context.Context, address string) (net.Conn, error)

	Log *slog.Logger
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	c.Namespace = cmp.Or(c.Namespace, DefaultNamespace)
	c.Concurrency = cmp.Or(c.Concurrency, worker.DefaultConcurrency)
	c.CacheBytes = cmp.Or(c.CacheBytes, cache.DefaultMaxBytes)
	c.Log = cmp.Or(c.Log, slog.Default())
	return c
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if c.Hub == "" {
		errs = append(errs, errors.New("--hub is required"))
	} else if _, _, err := net.SplitHostPort(c.Hub); err != nil && c.Dialer == nil {
		errs = append(errs, fmt.Errorf("--hub %q is not host:port", c.Hub))
	}
	if c.Token != "" {
		if _, err := identity.ParseJoinToken(c.Token); err != nil {
			errs = append(errs, fmt.Errorf("--token: %w", err))
		}
	}
	if problems := validation.IsDNS1123Label(c.Namespace); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--namespace %q is not a DNS label: lower-case letters, digits and dashes, at most 63", c.Namespace))
	}
	if c.HTTPListen != "" {
		if _, _, err := net.SplitHostPort(c.HTTPListen); err != nil {
			errs = append(errs, fmt.Errorf("--http-listen %q is not host:port", c.HTTPListen))
		}
	}
	if c.DefaultServiceAccount != "" && len(validation.IsDNS1123Subdomain(c.DefaultServiceAccount)) > 0 {
		errs = append(errs, fmt.Errorf("--default-service-account %q is not the name of a ServiceAccount: lower-case letters, digits, dashes and dots", c.DefaultServiceAccount))
	}
	if c.Concurrency < 1 {
		errs = append(errs, fmt.Errorf("--concurrency %d: at least 1 pass", c.Concurrency))
	}
	if c.CacheBytes < 0 {
		errs = append(errs, fmt.Errorf("--cache-bytes %d is less than nothing", c.CacheBytes))
	}
	if c.HelmBytes != 0 && c.HelmBytes < process.LeastMemory {
		errs = append(errs, fmt.Errorf("--helm-bytes %d: Helm needs %d at least", c.HelmBytes, process.LeastMemory))
	}
	return errors.Join(errs...)
}

// withDataDir fills in the default of DataDir. A directory that was given is the cache's to complain about, which can do
// without; of one that nobody has chosen nobody would notice.
func (c Config) withDataDir(env func(string) string) (Config, error) {
	if c.DataDir != "" {
		return c, nil
	}
	server := ""
	if c.Kubeconfig != "" || c.REST != nil {
		how, err := c.rest()
		if err != nil {
			return c, err
		}
		server = how.Host
	}
	var err error
	if c.DataDir, err = defaultDataDir(server, env); err == nil {
		err = checkWritable(c.DataDir)
	}
	if err != nil {
		return c, fmt.Errorf("data directory: %w; give another one with --data-dir", err)
	}
	return c, nil
}

// podDataDir is where a Pod has its volume.
const podDataDir = "/var/lib/flotilla-spoke"

// defaultDataDir is the directory for the cluster of an API server, the Pod's own when it is not named.
func defaultDataDir(server string, env func(string) string) (string, error) {
	if server == "" {
		return podDataDir, nil
	}
	state := env("XDG_STATE_HOME")
	if state == "" {
		if state = env("HOME"); state == "" {
			return "", errors.New("neither XDG_STATE_HOME nor HOME is set")
		}
		state = filepath.Join(state, ".local", "state")
	}
	_, address, found := strings.Cut(server, "://")
	if !found {
		address = server
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune("/:[]", r) {
			return '_'
		}
		return r
	}, strings.TrimRight(address, "/"))
	if strings.HasPrefix(name, ".") {
		name = "_" + name
	}
	return filepath.Join(state, "flotilla-spoke", name), nil
}

// checkWritable makes a directory and tries to write there.
func checkWritable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// rest returns how to reach the cluster.
func (c Config) rest() (*rest.Config, error) {
	config := c.REST
	var err error
	switch {
	case config != nil:
		config = rest.CopyConfig(config)
	case c.Kubeconfig != "":
		config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	default:
		config, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			err = errors.New("--kubeconfig is required outside of a cluster")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	config.UserAgent = "flotilla-spoke/" + telemetry.Version()
	config.QPS = -1 // what is done at once is bounded here; the rest is the API server's own fairness
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

// LogValue is the effective configuration, without secrets.
func (c Config) LogValue() slog.Value {
	token := "none"
	if parsed, err := identity.ParseJoinToken(c.Token); err == nil {
		token = parsed.ID
	}
	kubeconfig := cmp.Or(c.Kubeconfig, "in-cluster")
	if c.REST != nil {
		kubeconfig = "given"
	}
	return slog.GroupValue(
		slog.String("hub", c.Hub), slog.String("token", token), slog.String("kubeconfig", kubeconfig),
		slog.String("dataDir", c.DataDir), slog.String("namespace", c.Namespace), slog.String("httpListen", c.HTTPListen),
		slog.Int("concurrency", c.Concurrency), slog.Int64("cacheBytes", c.CacheBytes),
		slog.String("defaultServiceAccount", c.DefaultServiceAccount),
	)
}
