package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// head is what an exported source begins with.
func head(kind string) string {
	return "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: " + kind + "\nmetadata:\n  name: podinfo\n  namespace: flux-system\nspec:\n"
}

// Each is what `flux create ... --export` prints for the same flags.
func TestExportedSourcesAreFluxs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"git podinfo --url https://github.com/stefanprodan/podinfo --branch test --interval 1m", head("GitRepository") +
			"  interval: 1m0s\n  ref:\n    branch: test\n  url: https://github.com/stefanprodan/podinfo"},
		{"git podinfo --url https://github.com/stefanprodan/podinfo --branch master --ignore-paths .cosign,non-existent-dir/ --sparse-checkout-paths .cosign,non-existent-dir/", head("GitRepository") +
			"  ignore: |-\n    .cosign\n    non-existent-dir/\n  interval: 1m0s\n  ref:\n    branch: master\n  sparseCheckout:\n  - .cosign\n  - non-existent-dir/\n  url: https://github.com/stefanprodan/podinfo"},
		{"git podinfo --url https://github.com/stefanprodan/podinfo --branch test --provider github --secret-ref appinfo --interval 1m", head("GitRepository") +
			"  interval: 1m0s\n  provider: github\n  ref:\n    branch: test\n  secretRef:\n    name: appinfo\n  url: https://github.com/stefanprodan/podinfo"},
		{"git podinfo --url ssh://git@github.com/stefanprodan/podinfo --tag v1 --secret-ref key --recurse-submodules --fetch-timeout 2m --interval 5m", head("GitRepository") +
			"  interval: 5m0s\n  recurseSubmodules: true\n  ref:\n    tag: v1\n  secretRef:\n    name: key\n  timeout: 2m0s\n  url: ssh://git@github.com/stefanprodan/podinfo"},
		{"helm podinfo --url https://stefanprodan.github.io/charts/podinfo --interval 5m", head("HelmRepository") +
			"  interval: 5m0s\n  url: https://stefanprodan.github.io/charts/podinfo"},
		{"helm podinfo --url oci://ghcr.io/stefanprodan/charts/podinfo --secret-ref creds --interval 5m", head("HelmRepository") +
			"  interval: 5m0s\n  secretRef:\n    name: creds\n  type: oci\n  url: oci://ghcr.io/stefanprodan/charts/podinfo"},
		{"chart podinfo --source HelmRepository/podinfo --chart podinfo --verify-provider cosign --verify-issuer foo --verify-subject bar --interval 1m", head("HelmChart") +
			"  chart: podinfo\n  interval: 1m0s\n  reconcileStrategy: ChartVersion\n  sourceRef:\n    kind: HelmRepository\n    name: podinfo\n  verify:\n    matchOIDCIdentity:\n    - issuer: foo\n      subject: bar\n    provider: cosign"},
		{"oci podinfo --url oci://ghcr.io/stefanprodan/manifests/podinfo --tag 6.3.5 --interval 10m", head("OCIRepository") +
			"  interval: 10m0s\n  provider: generic\n  ref:\n    tag: 6.3.5\n  url: oci://ghcr.io/stefanprodan/manifests/podinfo"},
		{"oci podinfo --url oci://ghcr.io/stefanprodan/manifests/podinfo --tag-semver 6.x --interval 10m --verify-provider cosign --verify-secret-ref keys --layer-selector application/vnd.cncf.helm.chart.content.v1.tar+gzip:copy", head("OCIRepository") +
			"  interval: 10m0s\n  layerSelector:\n    mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip\n    operation: copy\n  provider: generic\n  ref:\n    semver: 6.x\n  url: oci://ghcr.io/stefanprodan/manifests/podinfo\n  verify:\n    provider: cosign\n    secretRef:\n      name: keys"},
		{"bucket podinfo --bucket-name podinfo --endpoint s3.amazonaws.com --provider generic --region us-east-1 --interval 5m --secret-ref keys", head("Bucket") +
			"  bucketName: podinfo\n  endpoint: s3.amazonaws.com\n  interval: 5m0s\n  provider: generic\n  region: us-east-1\n  secretRef:\n    name: keys"},
	} {
		r := newBareBundle(t).ok(append(strings.Fields("create source "+test.args), "--export", "-n", "flux-system")...) // without any hub
		if diff := cmp.Diff(test.want+"\n", r.stdout); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.args, diff)
		}
	}
}

func TestExportedSecretsAreFluxs(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	ca, policy, key := b.write("ca.crt", testCA), b.write("policy.json", `{"trustPolicies":[{"name":"x"}]}`), b.write("app.pem", "-----BEGIN")
	for _, test := range []struct {
		args, kind string
		want       map[string]string
	}{
		{"git auth --url https://example.com/x --username my-username --password my-password --ca-crt-file " + ca, "", map[string]string{"username": "my-username", "password": "my-password", "ca.crt": testCA}},
		{"git auth --url https://example.com/x --bearer-token token", "", map[string]string{"bearerToken": "token"}},
		{"helm auth --username my-username --password my-password", "kubernetes.io/basic-auth", map[string]string{"username": "my-username", "password": "my-password"}},
		{"tls auth --ca-crt-file " + ca, "Opaque", map[string]string{"ca.crt": testCA}},
		{"proxy auth --address https://my-proxy.com --username my-username --password my-password", "Opaque", map[string]string{"address": "https://my-proxy.com", "username": "my-username", "password": "my-password"}},
		{"githubapp auth --app-id 1 --app-installation-owner my-org --app-private-key " + key, "Opaque", map[string]string{"githubAppID": "1", "githubAppInstallationOwner": "my-org", "githubAppPrivateKey": "-----BEGIN"}},
		{"notation auth --ca-cert-file " + ca + " --trust-policy-file " + policy, "", map[string]string{"ca.crt": testCA, "trustpolicy.json": `{"trustPolicies":[{"name":"x"}]}`}},
		{"oci auth --url ghcr.io --username stefanprodan --password password", "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": `{
  "auths": {
    "ghcr.io": {
      "username": "stefanprodan",
      "password": "password",
      "auth": "c3RlZmFucHJvZGFuOnBhc3N3b3Jk"
    }
  }
}`}},
	} {
		var secret created
		out := b.ok(append(strings.Fields("create secret "+test.args), "--export", "-n", "my-namespace", "--label", "a=b")...).stdout
		if err := yaml.UnmarshalStrict([]byte(strings.TrimPrefix(out, "---\n")), &secret); err != nil || !strings.HasPrefix(out, "---\n") {
			t.Errorf("%s: %v in\n%s", test.args, err, out)
			continue
		}
		if diff := cmp.Diff(test.want, secret.StringData); diff != "" || secret.Type != test.kind || secret.Kind != "Secret" || secret.Metadata.Namespace != "my-namespace" || secret.Metadata.Labels["a"] != "b" {
			t.Errorf("%s: type %s (-want +got):\n%s", test.args, secret.Type, diff)
		}
	}
}

func TestExportedCredentialNamesItsSecrets(t *testing.T) {
	t.Parallel()
	r := newBareBundle(t).ok("create", "credential", "acme", "--url-prefix", "https://git.example.com/acme", "--namespaces", "apps,web", "--secret-ref", "admin/git", "--cert-secret-ref", "admin/ca", "--provider", "azure", "--export")
	want(t, "stdout", r.stdout, `
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Credential
metadata:
  name: acme
spec:
  certSecretRef:
    name: ca
    namespace: admin
  namespaces:
  - apps
  - web
  provider: azure
  secretRef:
    name: git
    namespace: admin
  urlPrefix: https://git.example.com/acme`)
}

func TestCreateRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	empty, key := b.write("empty", ""), b.write("key", "no key")
	for args, text := range map[string]string{
		"source git x --branch main":                                                         "--url is required",
		"source git x --url https://example.com/x":                                           "a reference is required",
		"source git x --url ftp://example.com/x --branch main":                               "spec.url",
		"source git x --url https://example.com/x --branch main --username u --export":       "--export prints no credential",
		"source git x --url https://example.com/x --branch main --username u --secret-ref s": "--secret-ref names the credential",
		"source git x --url https://example.com/x --branch main --verify-mode HEAD":          "go together",
		"source oci x --url oci://example.com/x":                                             "a reference is required",
		"source oci x --url https://example.com/x --tag 1":                                   "spec.url",
		"source oci x --url oci://example.com/x --tag 1 --layer-selector a":                  "is not MEDIATYPE:OPERATION",
		"source oci x --url oci://example.com/x --tag 1 --verify-issuer a":                   "need --verify-provider",
		"source helm x":                                                                   "--url is required",
		"source chart x --chart a":                                                        "--source is required",
		"source chart x --chart a --source a":                                             "is not KIND/NAME",
		"source bucket x --bucket-name xyz":                                               "--endpoint is required",
		"source bucket x --bucket-name xyz --endpoint e --access-key a":                   "--access-key and --secret-key go together",
		"credential x --namespaces a --provider aws":                                      "--url-prefix is required",
		"credential x --url-prefix https://example.com --provider aws":                    "--namespaces is required",
		"credential x --url-prefix https://example.com --namespaces a":                    "it gives nothing",
		"credential x --url-prefix https://example.com --namespaces a --secret-ref b":     "is not NAMESPACE/NAME",
		"credential x --url-prefix https://u:p@example.com --namespaces a --provider aws": "holds credentials",
		"source external x --source a":                                                    "is not KIND/NAME",
		"source git X --url https://example.com/x --branch main":                          "metadata.name",
		"secret git x": "--url is required",
		"secret git x --url https://example.com/x --username u":                                  "--username and --password, or --bearer-token, are required",
		"secret git x --url https://example.com/x --username u --password p --bearer-token t":    "does not go with",
		"secret git x --url svn://example.com/x":                                                 "is not ssh, https or http",
		"secret git x --url ssh://git@example.com/x --username u":                                "over ssh there is a key",
		"secret git x --url ssh://git@example.com/x --ssh-key-algorithm dsa":                     "is not ed25519, ecdsa or rsa",
		"secret git x --url ssh://git@example.com/x --ssh-ecdsa-curve p1":                        "is not p256, p384 or p521",
		"secret git x --url ssh://git@example.com/x --ssh-key-algorithm rsa --ssh-rsa-bits 1024": "is not from 2048",
		"secret git x --url ssh://git@example.com/x --private-key-file " + key:                   "it is no private key",
		"secret git x --url ssh://git@example.com/x --private-key-file " + empty:                 "is empty",
		"secret helm x":                      "are required",
		"secret helm x --username u":         "go together",
		"secret tls x --tls-crt-file " + key: "go together",
		"secret tls x --tls-crt-file " + key + " --tls-key-file " + key:           "are not a certificate and its key",
		"secret tls x --ca-crt-file " + key:                                       "there is no certificate in it",
		"secret oci x --url ghcr.io --username u":                                 "--password is required",
		"secret proxy x --address proxy":                                          "is not a URL",
		"secret githubapp x --app-id 1 --app-private-key " + key:                  "one of --app-installation-owner and --app-installation-id",
		"secret notation x --ca-cert-file " + key + " --trust-policy-file " + key: "it is no trust policy",
	} {
		b.fails(exitUsage, []string{text}, strings.Fields("create "+args)...)
	}
	if requests := requestsOf[*adminv1.ApplyRequest](b.hub); len(requests) > 0 {
		t.Errorf("sent %v", requests)
	}
}

func TestCreateSourceWaitsUntilItIsFetched(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r := b.start("create", "source", "git", "new", "--url", "https://example.com/x", "--branch", "main", "--label", "team=web", "--timeout", "1h")
	r.stdout.says(t, "gitrepository.source.toolkit.fluxcd.io/new created")
	r.stderr.says(t, "waiting for gitrepo/new to be ready")
	b.hub.put(t, `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: new, namespace: apps}
spec: {interval: 1m, url: "https://example.com/x"}
status: {conditions: [{type: Ready, status: "True"}], artifact: {revision: "main@sha1:696f056d"}}
`)
	if code := r.wait(); code != 0 {
		t.Fatalf("exit %d: %s", code, r.stderr)
	}
	request := requestsOf[*adminv1.ApplyRequest](b.hub)[1] // after the dry run
	declared, err := resource.Decode(request.GetObject())
	if err != nil || declared.Metadata.Labels["team"] != "web" || declared.Metadata.Namespace != "apps" {
		t.Errorf("declared %+v, error %v", declared, err)
	}
}

func TestCreateSourceEndsWithTheFirstLookThatFails(t *testing.T) {
	t.Parallel()
	failed := func(generation, observed int, requested string) string {
		return fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: new, namespace: apps, generation: %d}
spec: {interval: 1m, url: "https://example.com/x", ref: {branch: main}}
status:
  observedGeneration: %d
  lastHandledReconcileAt: %q
  conditions: [{type: Ready, status: "False", observedGeneration: %d, reason: GitOperationFailed, message: "no branch main"}]
`, generation, observed, requested, observed)
	}
	arguments := []string{"create", "source", "git", "new", "--url", "https://example.com/x", "--branch", "main", "--timeout", "1h"}
	t.Run("made", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		r := b.start(arguments...)
		r.stderr.says(t, "waiting for gitrepo/new to be ready")
		b.hub.put(t, failed(2, 1, ""))
		r.stderr.says(t, "no branch main")
		b.hub.put(t, failed(2, 2, ""))
		if code := r.wait(); code != int(exitFailed) {
			t.Errorf("exit %d: %s", code, r.stderr)
		}
		wantTexts(t, "stderr", r.stderr.String(), "gitrepo/new will not be ready as it is", "Ready is False (GitOperationFailed): no branch main", "fleetctl describe gitrepo/new")
		if asked := requestsOf[*adminv1.ReconcileRequest](b.hub); len(asked) > 0 {
			t.Errorf("a look is asked for at what is new: %v", asked)
		}
	})
	t.Run("there before", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t)
		b.hub.put(t, failed(1, 1, ""))
		r := b.start(arguments...)
		r.stderr.says(t, "the look that was asked for is not made yet")
		b.hub.put(t, failed(1, 1, requestedAt))
		if code := r.wait(); code != int(exitFailed) {
			t.Errorf("exit %d: %s", code, r.stderr)
		}
		if asked := requestsOf[*adminv1.ReconcileRequest](b.hub); len(asked) != 1 || asked[0].GetKind() != "GitRepository" || asked[0].GetName() != "new" {
			t.Errorf("asked for %v", asked)
		}
	})
}

func TestApplyWaitsForWhatRetriesMayMend(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	source := "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: new, namespace: apps}\nspec: {interval: 1m, url: \"https://example.com/x\"}\n"
	r := b.start("apply", "-f", b.write("source.yaml", source), "--wait", "--timeout", "1h")
	r.stderr.says(t, "waiting for gitrepo/new to be ready")
	b.hub.put(t, source+"status: {conditions: [{type: Ready, status: \"False\", reason: GitOperationFailed, message: \"refused\"}]}\n")
	r.stderr.says(t, "refused")
	b.hub.put(t, source+"status: {conditions: [{type: Ready, status: \"True\"}], artifact: {revision: \"main@sha1:696f056d\"}}\n")
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
}

func TestCreateKeepsTheAnnotationsOfWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.ready()
	b.hub.put(t, `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: apps, annotations: {team: web}, labels: {old: label}}
spec: {interval: 1m, url: "https://example.com/old"}
`)
	want(t, "stdout", b.ok("create", "source", "git", "app", "--url", "https://example.com/new", "--branch", "main").stdout,
		"gitrepository.source.toolkit.fluxcd.io/app configured\ngitrepository.source.toolkit.fluxcd.io/app condition met")
	document := parseJSON(t, b.ok("get", "gitrepo/app", "-o", "json").stdout)
	metadata := document["metadata"].(map[string]any)
	if metadata["annotations"].(map[string]any)["team"] != "web" || metadata["labels"] != nil {
		t.Errorf("metadata %v", metadata)
	}
	b.hub.fail("Get", status.Error(codes.Unavailable, "away"))
	b.fails(exitUnreachable, nil, "create", "source", "git", "app", "--url", "https://example.com/new", "--branch", "main")
}

func TestCredentialGivenWithASourceBecomesItsSecret(t *testing.T) {
	t.Parallel()
	for args, keys := range map[string]string{
		"git new --url https://example.com/x --branch main --username u --password hunter2":    "password username",
		"helm new --url https://example.com/x --username u --password hunter2":                 "password username",
		"bucket new --bucket-name new-bucket --endpoint e --access-key u --secret-key hunter2": "accesskey secretkey",
	} {
		b := newBundle(t)
		b.ready()
		r := b.ok(strings.Fields("create source " + args)...)
		if strings.Contains(r.stdout+r.stderr, "hunter2") {
			t.Errorf("%s: the password is told:\n%s%s", args, r.stdout, r.stderr)
		}
		wantTexts(t, "stdout", r.stdout, "secret/new created")
		requests := requestsOf[*adminv1.ApplyRequest](b.hub)
		secret, err := resource.Decode(requests[2].GetObject())
		if err != nil || secret.Kind != "Secret" || string(secret.Data[strings.Fields(keys)[0]]) != "hunter2" && string(secret.Data[strings.Fields(keys)[1]]) != "hunter2" {
			t.Errorf("%s: first declared %v, error %v", args, secret, err)
		}
		var source struct {
			Spec struct{ SecretRef flux.SecretRef }
		}
		if err := json.Unmarshal(requests[3].GetObject(), &source); err != nil || source.Spec.SecretRef.Name != "new" {
			t.Errorf("%s: then %s, error %v", args, requests[3].GetObject(), err)
		}
	}
}

// sshServer shows a host key and lets nobody in. It returns its address, and the key as known_hosts has it.
func sshServer(t *testing.T) (address, known string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, net.ErrClosed }}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _, _, _ = ssh.NewServerConn(conn, config) // nobody gets in
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	address = listener.Addr().String()
	return address, knownhosts.Line([]string{knownhosts.Normalize(address)}, signer.PublicKey())
}

func TestCreateSecretGitMakesAKeyAndAsksForTheHostKey(t *testing.T) {
	t.Parallel()
	address, known := sshServer(t)
	for flags, kind := range map[string]string{
		"": "ecdsa-sha2-nistp384", "--ssh-ecdsa-curve p256": "ecdsa-sha2-nistp256", "--ssh-key-algorithm ed25519": "ssh-ed25519", "--ssh-key-algorithm rsa": "ssh-rsa",
	} {
		b := newBareBundle(t)
		r := b.ok(append(strings.Fields("create secret git key --export --url ssh://git@"+address+"/org/app"), strings.Fields(flags)...)...)
		var secret created
		if err := yaml.Unmarshal([]byte(r.stdout), &secret); err != nil {
			t.Fatal(err)
		}
		public := secret.StringData["identity.pub"]
		if !strings.HasPrefix(public, kind+" ") || secret.StringData["known_hosts"] != known {
			t.Errorf("%s: public key %s, known hosts %s", flags, public, secret.StringData["known_hosts"])
		}
		signer, err := ssh.ParsePrivateKey([]byte(secret.StringData["identity"]))
		if err != nil || string(ssh.MarshalAuthorizedKey(signer.PublicKey())) != public {
			t.Errorf("%s: the keys are no pair: %v", flags, err)
		}
		wantTexts(t, "stderr", r.stderr, "deploy key: "+strings.TrimSpace(public), "host key: "+known)
		if strings.Contains(r.stderr, "PRIVATE") {
			t.Errorf("stderr has the private key:\n%s", r.stderr)
		}
	}
}

func TestCreateSecretGitTakesAKeyThatIsThere(t *testing.T) {
	t.Parallel()
	address, _ := sshServer(t)
	b := newBareBundle(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	file := b.write("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n"+base64.StdEncoding.EncodeToString(block.Bytes)+"\n-----END OPENSSH PRIVATE KEY-----\n")
	args := []string{"create", "secret", "git", "key", "--export", "--url", "ssh://git@" + address + "/org/app", "--private-key-file", file}
	b.fails(exitUsage, []string{"has a passphrase"}, args...)
	b.fails(exitUsage, []string{"the passphrase is not its"}, append(args, "--password", "other")...)
	r := b.ok(append(args, "--password", "hunter2")...)
	var secret created
	if err := yaml.Unmarshal([]byte(r.stdout), &secret); err != nil || secret.StringData["password"] != "hunter2" || !strings.Contains(secret.StringData["identity"], "OPENSSH") {
		t.Errorf("secret %v, error %v", secret.StringData, err)
	}
	b.fails(exitUnreachable, []string{"host key", "try:"}, "create", "secret", "git", "key", "--export", "--url", "ssh://git@127.0.0.1:1/x")
}

func TestCreateSourceGitAsksForTheDeployKeyToBeInPlace(t *testing.T) {
	t.Parallel()
	address, _ := sshServer(t)
	args := []string{"create", "source", "git", "new", "--url", "ssh://git@" + address + "/org/app", "--branch", "main"}
	b := newBundle(t)
	b.ready()
	b.fails(exitUsage, []string{"--silent"}, args...)
	b.tty, b.stdin = true, "no\n"
	b.fails(exitUsage, []string{"nothing was made"}, args...)
	if requests := requestsOf[*adminv1.ApplyRequest](b.hub); len(requests) > 0 {
		t.Errorf("sent %v", requests)
	}
	b.stdin = "yes\n"
	wantTexts(t, "stdout", b.ok(args...).stdout, "secret/new created", "gitrepository.source.toolkit.fluxcd.io/new created")
	b.tty, b.stdin = false, ""
	b.ok(append(args, "--silent")...)
}
