package bucket

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"flotilla.dev/flotilla/hub/source"
)

// azureContainer is the container as the credential sees it; of several in the Secret, Flux's order says which counts.
func (w *wire) azureContainer(who identity, address *url.URL, options *container.ClientOptions, a *azure) (*container.Client, error) {
	secret := w.Secrets[secretRef]
	has := func(keys ...string) bool {
		for _, key := range keys {
			if len(secret[key]) == 0 {
				return false
			}
		}
		return true
	}
	switch {
	case has("tenantId", "clientId", "clientSecret"), has("tenantId", "clientId", "clientCertificate"):
		token, err := w.azurePrincipal(secret)
		if err != nil {
			return nil, err
		}
		return w.azureWithToken(address, token, options)
	case has("clientId"):
		if !w.Identity {
			return nil, w.BadSecret(secretRef, "the Secret has clientId alone, which is a managed identity of the hub's, and none is granted to this source; add tenantId and clientSecret or clientCertificate, or have an administrator grant it (a Credential)")
		}
		token, err := who.azure(string(secret["clientId"]))
		if err != nil {
			return nil, w.Fail(source.KindAuth, "the hub has no managed identity at Azure")
		}
		return w.azureWithToken(address, token, options)
	case has("accountKey"):
		// The account is the first part of the host's name, as in Flux.
		account, _, dotted := strings.Cut(address.Hostname(), ".")
		if !dotted {
			return nil, w.Fail(source.KindInvalid, "spec.endpoint does not begin with the name of the storage account (https://ACCOUNT.blob.core.windows.net), which accountKey is of")
		}
		key, err := container.NewSharedKeyCredential(account, strings.TrimSpace(string(secret["accountKey"])))
		if err != nil {
			return nil, w.BadSecret(secretRef, "accountKey in the Secret is not the key of an account in base64")
		}
		return w.azureResult(container.NewClientWithSharedKeyCredential(address.String(), key, options))
	case has("sasKey"):
		values, err := url.ParseQuery(strings.TrimPrefix(strings.TrimSpace(string(secret["sasKey"])), "?"))
		if err != nil {
			return nil, w.BadSecret(secretRef, "sasKey in the Secret is not the query of a URL (?sv=...&sig=...)")
		}
		for key, value := range address.Query() {
			if !values.Has(key) {
				values[key] = value
			}
		}
		address.RawQuery = values.Encode()
	case secret != nil:
		return nil, w.BadSecret(secretRef, "the Secret has no credential: tenantId, clientId and clientSecret or clientCertificate; or accountKey; or sasKey; or clientId alone")
	case w.Identity:
		token, err := who.azure("")
		if err != nil {
			return nil, w.Fail(source.KindAuth, "the hub has no identity at Azure; name a Secret in spec.secretRef")
		}
		return w.azureWithToken(address, token, options)
	default:
		a.anonymous = address.RawQuery == ""
	}
	return w.azureResult(container.NewClientWithNoCredential(address.String(), options))
}

func (w *wire) azureWithToken(address *url.URL, token azcore.TokenCredential, options *container.ClientOptions) (*container.Client, error) {
	if address.Scheme != "https" {
		return nil, w.Fail(source.KindInvalid, "spec.endpoint is not https://, and a token is not sent without")
	}
	return w.azureResult(container.NewClient(address.String(), token, options))
}

func (w *wire) azureResult(client *container.Client, err error) (*container.Client, error) {
	if err != nil {
		return nil, w.Fail(source.KindInvalid, "spec.endpoint is not the URL of a storage account")
	}
	return client, nil
}

// azurePrincipal is a service principal, with a secret or with a certificate.
func (w *wire) azurePrincipal(secret map[string][]byte) (azcore.TokenCredential, error) {
	client, err := w.tokenClient(certSecretRef)
	if err != nil {
		return nil, err
	}
	common := policy.ClientOptions{Transport: &http.Client{Transport: client.Transport, CheckRedirect: nowhere}, Retry: azureRetry()}
	authority := string(secret["authorityHost"])
	if authority != "" {
		common.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: authority}
	}
	tenant, id := string(secret["tenantId"]), string(secret["clientId"])
	wrong := w.BadSecret(secretRef, "tenantId or authorityHost in the Secret is not what Azure has as one (authorityHost is an https:// URL)")
	// Whoever names an authority vouches for it: no other is asked whether it is one.
	own := authority != ""
	if len(secret["clientSecret"]) > 0 {
		token, err := azidentity.NewClientSecretCredential(tenant, id, string(secret["clientSecret"]), &azidentity.ClientSecretCredentialOptions{
			ClientOptions: common, DisableInstanceDiscovery: own,
		})
		if err != nil {
			return nil, wrong
		}
		return token, nil
	}
	certificates, key, err := azidentity.ParseCertificates(secret["clientCertificate"], secret["clientCertificatePassword"])
	if err != nil {
		return nil, w.BadSecret(secretRef, "clientCertificate in the Secret is not a certificate with its key, in PEM or PKCS#12 (clientCertificatePassword)")
	}
	chain := strings.ToLower(string(secret["clientCertificateSendChain"]))
	token, err := azidentity.NewClientCertificateCredential(tenant, id, certificates, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions: common, DisableInstanceDiscovery: own, SendCertificateChain: chain == "1" || chain == "true",
	})
	if err != nil {
		return nil, wrong
	}
	return token, nil
}
