package sdk

import (
	"context"
	"errors"
	"log/slog"

	helm "helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// configuration is what one of Helm's actions works with: clients that end with the action, and a storage that does not,
// so that what was cut short is written down.
func (a *action) configuration() (*helm.Configuration, error) {
	way := a.way.until(a)
	client := kube.New(way)
	client.Factory = factory{client.Factory}
	client.Namespace = a.job.Namespace
	//lint:ignore SA1019 Helm's own waiter, of the strategy legacy, takes no other
	client.WaitContext = a.ctx
	heard := slog.New(&listener{a})
	client.SetLogger(heard.Handler())
	config := helm.NewConfiguration(helm.ConfigurationSetLogger(heard.Handler()))
	config.RESTClientGetter = &lookups{way, a.SDK}
	config.KubeClient = &cluster{Client: client, action: a, way: way}
	storing, err := kubernetes.NewForConfig(a.way.acting)
	if err != nil {
		return nil, err
	}
	secrets := driver.NewSecrets(storing.CoreV1().Secrets(a.job.Storage))
	secrets.SetLogger(heard.Handler())
	config.Releases = storage.Init(&stored{secrets, a})
	config.Releases.SetLogger(heard.Handler())
	return config, nil
}

// stored is Helm's storage, which tells that something was written.
type stored struct {
	driver.Driver
	action *action
}

func (s *stored) Create(key string, r release.Releaser) error {
	if begun := s.action.begun; begun != nil {
		begun()
	}
	err := s.Driver.Create(key, r)
	if version, is := r.(*releasev1.Release); is && err == nil {
		s.action.makes(version)
	}
	return s.wrote(err)
}

func (s *stored) Update(key string, r release.Releaser) error {
	if version, is := r.(*releasev1.Release); is {
		s.action.describe(version)
	}
	return s.wrote(s.Driver.Update(key, r))
}

func (s *stored) Delete(key string) (release.Releaser, error) {
	r, err := s.Driver.Delete(key)
	return r, s.wrote(err)
}

func (s *stored) wrote(err error) error {
	if err == nil {
		s.action.mu.Lock()
		defer s.action.mu.Unlock()
		s.action.stored = true
	}
	return err
}

// makes notes what Helm does not store of a version.
func (a *action) makes(version *releasev1.Release) {
	a.made[version.Version] = a.request.Action
	a.plain = !a.sensitive()
	a.digests[version.Version] = a.job.Plan.Chart.OCIDigest
	if a.request.Action == job.Rollback {
		a.digests[version.Version] = a.digests[a.request.Version]
	}
}

// listener hears what Helm logs, and keeps the last error: Helm does not return all.
type listener struct{ action *action }

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

func (l *listener) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(attribute slog.Attr) bool {
		switch said := attribute.Value.Any().(type) {
		case error:
			l.action.hear(said)
		case []error:
			l.action.hear(errors.Join(said...))
		}
		return true
	})
	return nil
}

func (l *listener) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *listener) WithGroup(string) slog.Handler      { return l }
