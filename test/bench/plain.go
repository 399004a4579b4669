package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/test/lab"
)

// chartFiles are those of a chart as people have them, small and ready at once: there are no replicas to wait for.
var chartFiles = map[string]string{
	"Chart.yaml":  "apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: 1.2.3\n",
	"values.yaml": "name: web\nreplicas: 0\nimage: {repository: registry.example.com/team/web, tag: \"\"}\nsettings: {LOG_LEVEL: info, THEME: dark}\nport: 8080\n",
	"templates/_labels.tpl": "{{- define \"labels\" }}\napp.kubernetes.io/name: {{ .Values.name }}\napp.kubernetes.io/managed-by: {{ .Release.Service }}\n" +
		"helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}\n{{- end }}\n",
	"templates/account.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {{ .Values.name }}\n  labels: {{- include \"labels\" . | nindent 4 }}\n",
	"templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.name }}\n  labels: {{- include \"labels\" . | nindent 4 }}\n" +
		"data: {{- toYaml .Values.settings | nindent 2 }}\n",
	"templates/service.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Values.name }}\n  labels: {{- include \"labels\" . | nindent 4 }}\n" +
		"spec:\n  ports: [{name: http, port: 80, targetPort: http}]\n  selector: {app.kubernetes.io/name: {{ .Values.name }}}\n",
	"templates/web.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Values.name }}\n  labels: {{- include \"labels\" . | nindent 4 }}\n" +
		"spec:\n  replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app.kubernetes.io/name: {{ .Values.name }}}}\n  template:\n" +
		"    metadata:\n      labels: {{- include \"labels\" . | nindent 8 }}\n    spec:\n      serviceAccountName: {{ .Values.name }}\n      containers:\n" +
		"      - name: web\n        image: \"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}\"\n" +
		"        ports: [{name: http, containerPort: {{ .Values.port }}}]\n        envFrom: [{configMapRef: {name: {{ .Values.name }}}}]\n",
}

// plainLoop is what releases are measured against: Helm's SDK alone, which upgrades or installs one release after the other
// and keeps no books beside Helm's. Its clients, and what they have learned of the API server, it keeps.
type plainLoop struct {
	config    *action.Configuration
	chart     *chart.Chart
	namespace string
	wait      kube.WaitStrategy
	size      int
}

func newPlainLoop(b *bench, packed *lab.Chart, namespace string, wait kube.WaitStrategy) (*plainLoop, error) {
	l := &plainLoop{
		config:    action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler)),
		namespace: namespace, wait: wait, size: b.settings.releases,
	}
	var err error
	if l.chart, err = loader.LoadArchive(strings.NewReader(string(packed.Archive))); err != nil {
		return nil, err
	}
	flags := genericclioptions.NewConfigFlags(true)
	kubeconfig, cache := b.member.Kubeconfig(), filepath.Join(b.fleet.Dir(), "discovery")
	flags.KubeConfig, flags.Namespace, flags.CacheDir = &kubeconfig, &namespace, &cache
	flags.WrapConfigFn = func(config *rest.Config) *rest.Config {
		config.QPS = -1 // as the spoke has it
		return config
	}
	return l, l.config.Init(flags, namespace, "secret")
}

// upgradeAll is helm upgrade --install for each release.
func (l *plainLoop) upgradeAll(ctx context.Context) error {
	for i := range l.size {
		name := fmt.Sprintf("web-%d", i)
		if err := l.upgrade(ctx, name); err != nil {
			return fmt.Errorf("helm upgrade --install %s: %w", name, err)
		}
	}
	return nil
}

func (l *plainLoop) upgrade(ctx context.Context, name string) error {
	values := map[string]any{"name": name}
	history := action.NewHistory(l.config)
	history.Max = 1
	_, err := history.Run(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		install := action.NewInstall(l.config)
		install.ReleaseName, install.Namespace, install.WaitStrategy, install.Timeout = name, l.namespace, l.wait, 5*time.Minute
		_, err = install.RunWithContext(ctx, l.chart, values)
		return err
	}
	if err != nil {
		return err
	}
	upgrade := action.NewUpgrade(l.config)
	upgrade.Namespace, upgrade.WaitStrategy, upgrade.Timeout, upgrade.MaxHistory = l.namespace, l.wait, 5*time.Minute, 10
	_, err = upgrade.RunWithContext(ctx, name, l.chart, values)
	return err
}
