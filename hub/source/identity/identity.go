package identity

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// client asks for identities. A metadata service that is not there is given up soon.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
	DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 15 * time.Second, IdleConnTimeout: time.Minute,
}}

// AWS is the identity of the environment's keys, of a web identity, a container or the machine. sts is whom a web identity
// is shown to; empty: as the environment says.
func AWS(sts string) credentials.Provider {
	if os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") == "" {
		sts = "" // elsewhere it would be asked in place of the machine's metadata service
	}
	return &credentials.Chain{Providers: []credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{Client: client, Endpoint: sts}}}
}

// Azure is the identity of the environment, of a workload, or of the machine; with a client ID, that managed identity.
func Azure(at cloud.Configuration, clientID string) (azcore.TokenCredential, error) {
	options := policy.ClientOptions{Cloud: at, Transport: client}
	if clientID != "" {
		return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: options, ID: azidentity.ClientID(clientID)})
	}
	var all []azcore.TokenCredential
	if c, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: options}); err == nil {
		all = append(all, c)
	}
	if c, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: options}); err == nil {
		all = append(all, c)
	}
	if c, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}); err == nil {
		all = append(all, c)
	}
	return azidentity.NewChainedTokenCredential(all, nil)
}

// Google is the identity that the environment names a file of, or that of the machine, for the scope. The context is for as
// long as tokens are asked of it.
func Google(ctx context.Context, scope string) (oauth2.TokenSource, error) {
	found, err := google.FindDefaultCredentials(context.WithValue(ctx, oauth2.HTTPClient, client), scope)
	if err != nil {
		return nil, err
	}
	return found.TokenSource, nil
}
