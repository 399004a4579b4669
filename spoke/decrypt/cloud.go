//go:build cloudkms

package decrypt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azurecloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/logging"
	"sigs.k8s.io/yaml"
)

func init() {
	logging.SetLevel(0) // what SOPS' clients log is in their errors
}

// cloud are the credentials of key services. A service is asked only with credentials from the Secret, never with those
// of the spoke's own environment, which are not the tenant's.
type cloud struct {
	vault hcvault.Token
	aws   *kms.CredentialsProvider
	azure *azkv.TokenCredential
	gcp   gcpkms.CredentialJSON
}

func (c *cloud) add(name string, data []byte) error {
	switch name {
	case vaultToken:
		c.vault = hcvault.Token(strings.TrimSpace(string(data)))
		if c.vault == "" {
			return errors.New("it is empty")
		}
		return nil
	case awsKMS:
		return c.addAWS(data)
	case azureKV:
		return c.addAzure(data)
	}
	return c.addGCP(data)
}

func (c *cloud) addAWS(data []byte) error {
	var fields struct {
		ID     string `json:"aws_access_key_id"`
		Secret string `json:"aws_secret_access_key"`
		Token  string `json:"aws_session_token"`
	}
	if yaml.Unmarshal(data, &fields) != nil || fields.ID == "" || fields.Secret == "" {
		return errors.New("it is not YAML with aws_access_key_id and aws_secret_access_key")
	}
	c.aws = kms.NewCredentialsProvider(credentials.NewStaticCredentialsProvider(fields.ID, fields.Secret, fields.Token))
	return nil
}

// addAzure reads a service principal, by the names of az (appId, tenant, password) or of its API.
func (c *cloud) addAzure(data []byte) error {
	var fields struct {
		TenantID            string `json:"tenantId"`
		Tenant              string `json:"tenant"`
		ClientID            string `json:"clientId"`
		AppID               string `json:"appId"`
		ClientSecret        string `json:"clientSecret"`
		Password            string `json:"password"`
		Certificate         string `json:"clientCertificate"`
		CertificatePassword string `json:"clientCertificatePassword"`
		SendChain           bool   `json:"clientCertificateSendChain"`
		AuthorityHost       string `json:"authorityHost"`
	}
	if yaml.Unmarshal(data, &fields) != nil {
		return errors.New("it is not YAML")
	}
	options := azcore.ClientOptions{Cloud: azurecloud.AzurePublic}
	if fields.AuthorityHost != "" {
		options.Cloud = azurecloud.Configuration{ActiveDirectoryAuthorityHost: fields.AuthorityHost, Services: map[azurecloud.ServiceName]azurecloud.ServiceConfiguration{}}
	}
	var token azcore.TokenCredential
	var err error
	switch {
	case fields.TenantID != "" && fields.ClientID != "" && fields.ClientSecret != "":
		token, err = azidentity.NewClientSecretCredential(fields.TenantID, fields.ClientID, fields.ClientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	case fields.TenantID != "" && fields.ClientID != "" && fields.Certificate != "":
		certificates, key, problem := azidentity.ParseCertificates([]byte(fields.Certificate), []byte(fields.CertificatePassword))
		if problem != nil {
			return errors.New("clientCertificate is not a certificate with its key, or clientCertificatePassword does not open it")
		}
		token, err = azidentity.NewClientCertificateCredential(fields.TenantID, fields.ClientID, certificates, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, SendCertificateChain: fields.SendChain})
	case fields.Tenant != "" && fields.AppID != "" && fields.Password != "":
		token, err = azidentity.NewClientSecretCredential(fields.Tenant, fields.AppID, fields.Password, &azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	default:
		return errors.New("it needs tenantId, clientId and clientSecret or clientCertificate; or tenant, appId and password")
	}
	if err != nil {
		return errors.New("it is not a service principal that Azure takes")
	}
	c.azure = azkv.NewTokenCredential(token)
	return nil
}

// addGCP reads the key of a service account. Other kinds of credentials could have a program run or a file read.
func (c *cloud) addGCP(data []byte) error {
	var fields struct {
		Type string `json:"type"`
	}
	if yaml.Unmarshal(data, &fields) != nil || fields.Type != "service_account" {
		return errors.New("it is not the JSON key of a service account")
	}
	c.gcp = gcpkms.CredentialJSON(data)
	return nil
}

// open asks the service of a key.
func (c *cloud) open(ctx context.Context, key masterKey) (plain []byte, err error) {
	text := func(field string) string { return textOf(key.fields[field]) }
	lacks := func(name string) error { return fmt.Errorf("%s: the Secret has no %s", key, name) }
	switch key.kind {
	case "kms":
		if c.aws == nil {
			return nil, lacks(awsKMS)
		}
		master := &kms.MasterKey{Arn: key.id, Role: text("role"), EncryptedKey: key.enc, EncryptionContext: map[string]*string{}}
		context, _ := key.fields["context"].(map[string]any)
		for name, value := range context {
			value := textOf(value)
			master.EncryptionContext[name] = &value
		}
		c.aws.ApplyToMasterKey(master)
		plain, err = master.DecryptContext(ctx)
	case "gcp_kms":
		if c.gcp == nil {
			return nil, lacks(gcpKMS)
		}
		master := &gcpkms.MasterKey{ResourceID: key.id, EncryptedKey: key.enc}
		c.gcp.ApplyToMasterKey(master)
		plain, err = master.DecryptContext(ctx)
	case "azure_kv":
		if c.azure == nil {
			return nil, lacks(azureKV)
		}
		master := &azkv.MasterKey{VaultURL: text("vault_url"), Name: text("name"), Version: text("version"), EncryptedKey: key.enc}
		c.azure.ApplyToMasterKey(master)
		plain, err = master.DecryptContext(ctx)
	case "hc_vault":
		if c.vault == "" {
			return nil, lacks(vaultToken)
		}
		master := &hcvault.MasterKey{VaultAddress: text("vault_address"), EnginePath: text("engine_path"), KeyName: text("key_name"), EncryptedKey: key.enc}
		c.vault.ApplyToMasterKey(master)
		plain, err = master.DecryptContext(ctx)
	default:
		return nil, fmt.Errorf("%s: not supported", key)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s", ErrService, key, short(err.Error()))
	}
	return plain, nil
}

// short cuts what a service says.
func short(text string) string {
	const most = 300
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
