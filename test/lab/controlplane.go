package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// Users of the lab's own parts. Requests leaves theirs out.
const (
	controllersUser = "lab:controllers"
	podletUser      = "lab:podlet"
)

// controllers are those that a workload's life needs; the rest of the controller manager's would cost start-up time.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"cronjob-controller",
	"daemonset-controller",
	"deployment-controller",
	"disruption-controller",
	"endpoints-controller",
	"endpointslice-controller",
	"garbage-collector-controller",
	"job-controller",
	"namespace-controller",
	"persistentvolume-protection-controller",
	"persistentvolumeclaim-protection-controller",
	"replicaset-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"statefulset-controller",
	"ttl-after-finished-controller",
}

// etcdURL is a Unix socket in the directory that all parts run in: no port to take, nobody else to come in, and no
// long path.
const etcdURL = "unix://etcd:0"

// startEtcd starts etcd and leaves waiting for it to the API server.
func (c *Cluster) startEtcd() (err error) {
	c.etcd, err = c.run("etcd", "etcd.log",
		"etcd",
		"--name=lab",
		"--data-dir="+c.file("etcd"),
		"--listen-client-urls="+etcdURL,
		"--advertise-client-urls="+etcdURL,
		// One member has no peers; port 0 keeps it from taking a fixed one.
		"--listen-peer-urls=http://127.0.0.1:0",
		"--initial-advertise-peer-urls=http://127.0.0.1:0",
		"--initial-cluster=lab=http://127.0.0.1:0",
		// The data need not survive the machine.
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
	return err
}

// StartAPIServer starts the API server after KillAPIServer, on the same port, and returns when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.startTimeout())
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.startAPIServer(ctx)
}

// placeAPIServer starts the API server on a port that it finds.
func (c *Cluster) placeAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for attempt := 0; ; attempt++ {
		var err error
		if c.apiPort, err = freePort(); err != nil {
			return err
		}
		if err := c.setAdmin(); err != nil {
			return err
		}
		err = c.startAPIServer(ctx)
		if err == nil || attempt == 4 || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
}

// setAdmin makes the administrator's client configuration for the API server's port.
func (c *Cluster) setAdmin() (err error) {
	if c.admin, err = c.RESTFor("lab:admin", "system:masters"); err != nil {
		return err
	}
	return c.writeKubeconfig(c.Kubeconfig(), c.admin)
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	args := []string{
		"kube-apiserver",
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.apiPort),
		"--tls-cert-file=" + c.file("apiserver.crt"),
		"--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--etcd-servers=" + etcdURL,
		"--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.96.0.0/16",
		// Loopback is not a valid endpoint for the kubernetes Service, which nobody in the lab reaches anyway.
		"--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.file("service-account.key"),
		"--service-account-signing-key-file=" + c.file("service-account.key"),
		"--allow-privileged=true",
		"--profiling=false",
	}
	if c.config.Audit {
		args = append(args,
			"--audit-policy-file="+c.file("audit-policy.yaml"),
			"--audit-log-path="+c.requests.path,
			"--audit-log-maxsize=10000", // megabytes: one file, never rotated
		)
	}
	var err error
	if c.api, err = c.run("kube-apiserver", "apiserver.log", append(args, c.config.APIServerArgs...)...); err != nil {
		return err
	}
	if err := c.await(ctx, c.api, "/readyz"); err != nil {
		if c.etcd.Ended() {
			err = c.etcd.failure(err)
		}
		c.api.kill()
		return err
	}
	return nil
}

// KillAPIServer ends the API server with SIGKILL: connections break at once, requests are refused. A killed one stays
// so.
func (c *Cluster) KillAPIServer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.api.kill()
}

// startControllers starts the controller manager and waits for the first of what it makes, a service account.
func (c *Cluster) startControllers(ctx context.Context) error {
	// Its controllers run with its own rights, so it needs all of them.
	client, err := c.RESTFor(controllersUser, "system:masters")
	if err != nil {
		return err
	}
	if err := c.writeKubeconfig(c.file("controllers.kubeconfig"), client); err != nil {
		return err
	}
	c.controllers, err = c.run("kube-controller-manager", "controllers.log",
		"kube-controller-manager",
		"--kubeconfig="+c.file("controllers.kubeconfig"),
		"--controllers="+strings.Join(controllers, ","),
		"--service-account-private-key-file="+c.file("service-account.key"),
		"--root-ca-file="+c.file("ca.crt"),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	)
	if err != nil {
		return err
	}
	return c.await(ctx, c.controllers, "/api/v1/namespaces/default/serviceaccounts/default")
}

// run starts a part of the multi-call binary.
func (c *Cluster) run(name, log string, args ...string) (*process, error) {
	cmd := exec.Command(c.config.Binary, args...)
	cmd.Dir = c.config.Dir
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=1GiB")
	if testing.Testing() { // it does not live for long, and collects garbage for a fifth of what a test of it costs
		cmd.Env = append(cmd.Env, "GOGC=400")
	}
	return startProcess(name, cmd, c.file(log))
}

// await waits until the API server answers a path with 200 OK, while the process lives.
func (c *Cluster) await(ctx context.Context, p *process, path string) error {
	transport, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.Done():
			cancel(errors.New("it ended"))
		case <-ctx.Done():
		}
	}()
	err = poll(ctx, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin.Host+path, nil)
		if err != nil {
			return err
		}
		response, err := transport.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", path, response.Status)
		}
		return nil
	})
	if err != nil {
		return p.failure(err)
	}
	return nil
}

// startPodlet runs a podlet in this process until Stop.
func (c *Cluster) startPodlet() error {
	client, err := c.RESTFor(podletUser, "system:masters")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- RunPodlet(ctx, client, c.config.Log) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopPodlet = func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("the podlet does not stop")
		}
	}
	return nil
}
