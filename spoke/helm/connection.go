package helm

import (
	"fmt"

	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// connection is how a process reaches the cluster, as the spoke does; user is whom it acts as.
func connection(c *rest.Config, user string) (job.Connection, error) {
	switch {
	case c.ExecProvider != nil:
		return job.Connection{}, fmt.Errorf("%w: Helm's process cannot reach the cluster by a kubeconfig that runs a program for its credentials: "+
			"give one with a token or a certificate, or run the spoke in the cluster", fleet.ErrInvalid)
	case c.AuthProvider != nil:
		return job.Connection{}, fmt.Errorf("%w: Helm's process cannot reach the cluster by a kubeconfig with an auth-provider: "+
			"give the spoke one with a token or a certificate, or run it in the cluster", fleet.ErrInvalid)
	case c.Impersonate.UserName != "": // it would act as who may more
		return job.Connection{}, fmt.Errorf("%w: Helm's process cannot reach the cluster by a kubeconfig that acts as another (as: %s): "+
			"give one with that user's own credentials", fleet.ErrInvalid, c.Impersonate.UserName)
	case c.Proxy != nil:
		return job.Connection{}, fmt.Errorf("%w: Helm's process cannot reach the cluster by a kubeconfig with a proxy-url: "+
			"set HTTPS_PROXY in its place", fleet.ErrInvalid)
	}
	return job.Connection{
		Host: c.Host, APIPath: c.APIPath, BearerToken: c.BearerToken, BearerTokenFile: c.BearerTokenFile,
		Username: c.Username, Password: c.Password,
		Insecure: c.Insecure, ServerName: c.ServerName, CAFile: c.CAFile, CAData: c.CAData,
		CertFile: c.CertFile, CertData: c.CertData, KeyFile: c.KeyFile, KeyData: c.KeyData,
		User: user,
	}, nil
}
