package identity_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"flotilla.dev/flotilla/hub/source/identity"
)

// The tests set the process's environment, so none of them is parallel.

func TestTheIdentityAtAzureIsThatOfTheMachineAndNoProgramIsRunForIt(t *testing.T) {
	bin := t.TempDir()
	ran := filepath.Join(bin, "ran")
	for _, program := range []string{"az", "azd", "pwsh"} {
		if err := os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n: > '"+ran+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	status := http.StatusOK
	server := serve(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"access_token":"the machine's ` + req.FormValue("client_id") + `","expires_on":"4102444800","resource":"r","token_type":"Bearer"}`))
	})
	for _, name := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("IDENTITY_ENDPOINT", server)
	t.Setenv("IDENTITY_HEADER", "header")
	ask := func(clientID string) (string, error) {
		own, err := identity.Azure(cloud.AzurePublic, clientID)
		if err != nil {
			t.Fatal(err)
		}
		token, err := own.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://example.com/.default"}})
		return token.Token, err
	}
	status = http.StatusBadRequest
	if token, err := ask(""); err == nil {
		t.Errorf("token %q of a machine that gives none", token)
	}
	status = http.StatusOK
	for clientID, want := range map[string]string{"": "the machine's ", "mine": "the machine's mine"} {
		if token, err := ask(clientID); token != want || err != nil {
			t.Errorf("client %q: token %q, error %v", clientID, token, err)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program was run")
	}
}

func TestTheIdentityAtAWSIsThatOfTheEnvironmentBeforeThatOfTheWorkload(t *testing.T) {
	asked := ""
	sts := serve(t, func(w http.ResponseWriter, req *http.Request) {
		asked = req.FormValue("WebIdentityToken")
		_, _ = w.Write([]byte(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>workload</AccessKeyId>` +
			`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`))
	})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a token"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := func() string {
		value, err := credentials.New(identity.AWS(sts)).GetWithContext(&credentials.CredContext{Context: t.Context()})
		if err != nil {
			t.Fatal(err)
		}
		return value.AccessKeyID
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/hub")
	if got := key(); got != "workload" || asked != "a token" {
		t.Errorf("key of %q; %q was shown", got, asked)
	}
	asked = ""
	t.Setenv("AWS_ACCESS_KEY_ID", "environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	if got := key(); got != "environment" || asked != "" {
		t.Errorf("key of %q; %q was shown", got, asked)
	}
}

func TestTheIdentityAtGoogleIsThatOfTheFileThatTheEnvironmentNames(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"for ` + req.FormValue("refresh_token") + `","expires_in":3600,"token_type":"Bearer"}`))
	})
	content, err := json.Marshal(map[string]string{"type": "external_account_authorized_user", "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/q",
		"client_id": "c", "client_secret": "s", "refresh_token": "the hub", "token_url": server})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "google.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	own, err := identity.Google(t.Context(), "scope")
	if err != nil {
		t.Fatal(err)
	}
	if token, err := own.Token(); err != nil || token.AccessToken != "for the hub" {
		t.Errorf("token %+v, error %v", token, err)
	}
}

func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}
