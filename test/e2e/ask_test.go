package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// exits runs fleetctl, which has to end with that code, and returns its stdout and stderr.
func (a *app) exits(code int, args ...string) (stdout, stderr string) {
	a.t.Helper()
	out := a.fleet.Fleetctl(a.t.Context(), append(args, "--namespace", a.namespace)...)
	if out.Code != code {
		a.t.Fatalf("fleetctl %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.Code, code, out.Stdout, out.Stderr)
	}
	return out.Stdout, out.Stderr
}

const workload = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.com/web:1"}]}
`

func (a *app) secretFile(name, password string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata:\n  name: " + name + "\n  namespace: " + a.namespace + "\nstringData:\n  password: " + password + "\n"
}

func TestDiffForetellsWhatLocalFilesWouldChangeInEachCluster(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.push(map[string]string{"deploy/secret.yaml": a.secretFile("s", "canary-before")})
	a.settle()
	a.exits(0, "diff", "ks/app")
	a.exits(0, "diff", "ks/app@prod-1", "--drift")

	dir := filepath.Join(t.TempDir(), "deploy")
	for path, content := range map[string]string{
		"namespace.yaml": a.namespaceFile(), "app.yaml": a.configMap("app", "second"), "new.yaml": a.configMap("new", "1"), "secret.yaml": a.secretFile("s", "canary-after"),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, _ := a.exits(1, "diff", "ks/app", "--path", dir)
	says(t, "the diff", stdout, "in canary-1, prod-1, prod-2", "► ConfigMap/"+a.namespace+"/app changed", "-  value: first", "+  value: second",
		"ConfigMap/"+a.namespace+"/new created", "-  password: '*** (before)'", "+  password: '*** (after)'")
	asJSON, _ := a.exits(1, "diff", "ks/app@prod-1", "--path", dir, "-o", "json")
	var document struct {
		Cluster   string
		Unchanged int
		Objects   []struct {
			Change string
			Object struct{ Kind, Name string }
		}
	}
	if err := json.Unmarshal([]byte(asJSON), &document); err != nil {
		t.Fatal(err)
	}
	if document.Cluster != "prod-1" || len(document.Objects) != 3 || document.Unchanged != 1 {
		t.Errorf("as JSON: %s", asJSON)
	}
	for _, m := range fleet.Members { // nothing was written
		if value, err := a.value(m, "app"); err != nil || value != "first" {
			t.Errorf("%s has %q, %v", m.Name(), value, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("apiVersion: v1\nkind: Service\nmetadata:\n  name: bad\n  namespace: "+a.namespace+"\nspec: {ports: [{port: 99999999}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := a.exits(7, "diff", "ks/app@prod-1", "--path", dir)
	says(t, "stdout of a diff with an object that is refused", stdout, "✗ Service/"+a.namespace+"/bad", "99999999", "value: second")
	says(t, "stderr of it", stderr, "an apply would fail")
}

func TestDiffForetellsWhatAnotherDeclarationWouldChange(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.push(map[string]string{"deploy/more.yaml": a.configMap("more", "1")})
	a.settle()
	m := fleet.Members[0]
	ref := "ks/app@" + m.Name()
	vars := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "vars"}, StringData: map[string]string{"HIDDEN": "canary-value"}}
	if _, err := a.client(m).CoreV1().Secrets(a.namespace).Create(t.Context(), vars, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.yaml")
	fields := "prune: false, commonMetadata: {labels: {team: blue}}, postBuild: {substitute: {A: put-in}, substituteFrom: [{kind: Secret, name: vars}]}"
	for path, content := range map[string]string{
		"deploy/namespace.yaml": a.namespaceFile(), "deploy/app.yaml": a.configMap("app", "${A} ${HIDDEN}"),
		"fleet.yaml": strings.Replace(a.declared, "prune: true", fields, 1),
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	local := []string{"diff", ref, "--path", filepath.Join(dir, "deploy")}
	stdout, _ := a.exits(1, local...)
	says(t, "the diff under what the hub has", stdout, "+  value: ${A} ${HIDDEN}", "ConfigMap/"+a.namespace+"/more deleted")
	stdout, stderr := a.exits(1, append(local, "--kustomization-file", file)...)
	says(t, "the diff under what the file has", stdout, "+    team: blue", "ConfigMap/"+a.namespace+"/app changed", "*** (after)", "Namespace/"+a.namespace+" changed")
	for _, words := range []string{"deleted", "canary-value", "${A}"} {
		if strings.Contains(stdout+stderr, words) {
			t.Errorf("the diff under what the file has says %q:\n%s%s", words, stdout, stderr)
		}
	}
	if value, err := a.value(m, "app"); err != nil || value != "first" { // nothing was written
		t.Errorf("%s has %q, %v", m.Name(), value, err)
	}
}

func TestTreeTraceAndHistoryTellOfALiveApp(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	first := a.head()
	second := a.push(map[string]string{"deploy/web.yaml": strings.ReplaceAll(workload, "NAMESPACE", a.namespace)})
	a.settle()
	prod := fleet.Member("prod-1")

	tree := a.fleetctl("tree", "ks/app@prod-1")
	says(t, "the tree", tree, "Kustomization/"+a.namespace+"/app@prod-1", "── ConfigMap/"+a.namespace+"/app  Current", "── Deployment/"+a.namespace+"/web  Current",
		"    └── ReplicaSet/"+a.namespace+"/web-", "        └── Pod/"+a.namespace+"/web-")
	says(t, "the tree as JSON", a.fleetctl("tree", "ks/app@prod-1", "-o", "json"), `"cluster": "prod-1"`, `"kind": "ReplicaSet"`, `"owned"`)

	client, err := kubernetes.NewForConfig(prod.REST())
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods(a.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("pods %v, error %v", pods, err)
	}
	says(t, "the trace", a.fleetctl("trace", "pod/"+pods.Items[0].Name, "--cluster", "prod-1"), "Pod/"+a.namespace+"/web-", "Owned by:", "Deployment/"+a.namespace+"/web",
		"managed by Flotilla", "Kustomization: app", "Path:          ./deploy", "Revision:      main@sha1:"+second, "GitRepository: app", "URL:           "+a.url, "Ref:           branch main")
	stray := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "stray"}}
	if _, err := client.CoreV1().ConfigMaps(a.namespace).Create(t.Context(), stray, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	says(t, "the trace of a stray", a.fleetctl("trace", "cm", "stray", "--cluster", "prod-1"), "not managed by Flotilla, nor by a Flux", "has no owner, and no labels")

	history := a.fleetctl("history", "ks/app", "-o", "json")
	says(t, "the history", history, "main@sha1:"+second)
	says(t, "the history in a cluster", a.fleetctl("history", "ks/app@prod-1"), "main@sha1:"+second[:8], "current", "True")
	if first != second && strings.Index(history, first) < strings.Index(history, second) && strings.Contains(history, first) {
		t.Errorf("the history is not newest first:\n%s", history)
	}
}

func TestQuestionsThatCannotBeAnsweredSayWhy(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	for _, test := range []struct {
		code int
		args []string
		want string
	}{
		{3, []string{"diff", "ks/none"}, "Kustomization/" + a.namespace + "/none"},
		{3, []string{"diff", "ks/app@nowhere"}, "Cluster/nowhere"},
		{3, []string{"tree", "ks/none"}, "not found"},
		{2, []string{"tree", "gitrepo/app"}, "only apps have objects in clusters"},
		{2, []string{"diff", "ks/app", "--drift", "--path", "."}, "--drift is of what was applied"},
		{2, []string{"diff", "ks/app", "--path", "no-such-directory"}, "--path"},
		{2, []string{"trace", "pod/x"}, "--cluster is missing"},
		{2, []string{"trace", "pod", "--cluster", "prod-1"}, "names no object"},
		{3, []string{"trace", "pod/none", "--cluster", "prod-1"}, "there is no such object"},
		{8, []string{"trace", "gizmo/none", "--cluster", "prod-1"}, `no kind that is called "gizmo"`},
		{3, []string{"trace", "pod/none", "--cluster", "nowhere"}, "Cluster/nowhere"},
		{3, []string{"history", "ks/none"}, "not found"},
		{3, []string{"history", "ks/app@nowhere"}, "Cluster/nowhere"},
		{2, []string{"history", "ks/app@*"}, "name one cluster"},
	} {
		if _, stderr := a.exits(test.code, test.args...); !strings.Contains(stderr, test.want) {
			t.Errorf("fleetctl %s says\n%s\nnot %q", strings.Join(test.args, " "), stderr, test.want)
		}
	}
}

// No answer, no row and no log has what a Secret of a cluster holds.
func TestSecretsOfAClusterAreInNoAnswer(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	canary := "canary-" + a.namespace + "-value"
	prod := fleet.Member("prod-1")
	a.settle()
	client, err := kubernetes.NewForConfig(prod.REST())
	if err != nil {
		t.Fatal(err)
	}
	// It is only in the cluster: the hub never sees it, unless a spoke tells.
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Annotations: map[string]string{
		"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"password":"` + canary + `"}}`}}, StringData: map[string]string{"password": canary, "other": canary}}
	if _, err := client.CoreV1().Secrets(a.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret.yaml"), []byte(a.secretFile("s", "another")), 0o600); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, args := range [][]string{
		{"diff", "ks/app@prod-1", "--path", dir}, {"diff", "ks/app@prod-1", "--path", dir, "-o", "json"}, {"tree", "ks/app@prod-1", "-o", "json"},
		{"trace", "secret/s", "--cluster", "prod-1", "-o", "json"}, {"history", "ks/app@prod-1", "-o", "json"},
	} {
		out := a.fleet.Fleetctl(t.Context(), append(args, "--namespace", a.namespace)...)
		texts["fleetctl "+strings.Join(args, " ")] = out.Stdout + out.Stderr
	}
	says(t, "the diff", texts["fleetctl diff ks/app@prod-1 --path "+dir], "Secret/"+a.namespace+"/s changed", "*** (before)")
	logs, err := filepath.Glob(filepath.Join(fleet.Dir(), "log", "*"))
	if err != nil || len(logs) < 4 {
		t.Fatalf("logs %v, error %v", logs, err)
	}
	for _, file := range logs {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(content)
	}
	if texts["the database"], err = fleet.Postgres.DumpDatabase(t.Context(), "flotilla"); err != nil {
		t.Fatal(err)
	}
	for where, text := range texts {
		if strings.Contains(text, canary) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(canary))) {
			t.Errorf("%s has the Secret's value", where)
		}
	}
}

func TestVariablesAreShownWithTheirOriginAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet, "prune: true", "postBuild: {substitute: {INLINE: one}, substituteFrom: [{kind: Secret, name: vars}]}, prune: true")
	prod := fleet.Member("prod-1")
	for _, m := range fleet.Members {
		client, err := kubernetes.NewForConfig(m.REST())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "vars"}, StringData: map[string]string{"PASSWORD": "canary-" + a.namespace}}
		if _, err := client.CoreV1().Secrets(a.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "${INLINE}-${PASSWORD}-${CLUSTER_NAME}")})
	a.settle()
	if value, err := a.value(prod, "app"); err != nil || value != "one-canary-"+a.namespace+"-prod-1" {
		t.Errorf("the ConfigMap has %q, %v", value, err)
	}
	shown := a.fleetctl("debug", "ks/app@prod-1", "--show-vars")
	says(t, "the variables", shown, "INLINE", "spec.postBuild.substitute", "CLUSTER_NAME", "the cluster's variables", "*** (Secret "+a.namespace+"/vars key PASSWORD)")
	stdout, stderr := a.exits(1, "diff", "ks/app@prod-1", "--path", a.changed())
	for what, text := range map[string]string{"debug": shown, "diff": stdout + stderr} {
		if strings.Contains(text, "canary") {
			t.Errorf("%s shows the value of a Secret:\n%s", what, text)
		}
	}
	says(t, "the diff", stdout, "ConfigMap/"+a.namespace+"/app changed", "*** (before)", "*** (after)")
	says(t, "the variables with the cluster's kubeconfig", a.fleetctl("debug", "ks/app@prod-1", "--show-vars", "--kubeconfig", prod.Kubeconfig()), "canary-"+a.namespace)

	for want, args := range map[string][]string{
		"name the cluster":             {"ks/app", "--show-vars"},
		"--show-status is missing":     {"ks/app@prod-1"},
		"could not read the values":    {"ks/app@prod-1", "--show-vars", "--kubeconfig", "/nowhere"},
		"leads to Cluster/prod-2":      {"ks/app@prod-1", "--show-vars", "--kubeconfig", fleet.Member("prod-2").Kubeconfig()},
		"only apps have objects":       {"gitrepo/app", "--show-vars"},
		"Cluster/nowhere: not found":   {"ks/app@nowhere", "--show-vars"},
		"Kustomization/" + a.namespace: {"ks/none@prod-1", "--show-vars"},
	} {
		out := a.fleet.Fleetctl(t.Context(), append(append([]string{"debug"}, args...), "--namespace", a.namespace)...)
		if out.Code == 0 || !strings.Contains(out.Stderr, want) {
			t.Errorf("debug %v: exit code %d, says %s, not %q", args, out.Code, out.Stderr, want)
		}
	}
}

// changed is a local directory with another ConfigMap.
func (a *app) changed() string {
	a.t.Helper()
	dir := a.t.TempDir()
	for name, content := range map[string]string{"namespace.yaml": a.namespaceFile(), "app.yaml": a.configMap("app", "two-${PASSWORD}")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return dir
}
