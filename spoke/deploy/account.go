package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
)

// account is who does what is done to an App's objects: dry-runs, writes, deletions, and the reads before them. The
// rest stays the spoke's own: watches are shared by all Apps, health reads what the App has written itself, the
// inventory must be out of a tenant's reach, and the kinds that a cluster serves are no secret.
type account struct {
	// namespace and name are the ServiceAccount's; no name: the spoke itself.
	namespace, name string
	// fallback says that the spoke's settings name it, not the App.
	fallback bool
	// applier writes for passes and corrector for corrections, so that neither waits for the other.
	applier   *apply.Applier
	corrector *apply.Applier

	apps int // that have it; under accounts.mu
}

// user is the account's name for the API server, which adds the groups of a service account by itself.
func (by *account) user() string {
	return "system:serviceaccount:" + by.namespace + ":" + by.name
}

func (by *account) String() string { return "ServiceAccount/" + by.namespace + "/" + by.name }

// accounts are those that some App has. All share the spoke's connections, and its bound on requests under way.
type accounts struct {
	config *rest.Config
	http   *http.Client
	self   *account

	mu   sync.Mutex
	used map[string]*account // by user
}

// hire returns the account that an App of that namespace names, or the fallback where it names none; let go of it with
// dismiss.
func (s *accounts) hire(namespace, name, fallback string) (*account, error) {
	wanted := &account{namespace: namespace, name: name}
	if name == "" {
		wanted.name, wanted.fallback = fallback, true
	}
	if wanted.name == "" {
		return s.self, nil
	}
	// A colon would make it another user.
	if problems := validation.IsDNS1123Subdomain(wanted.name); len(problems) > 0 {
		return nil, fmt.Errorf("%w: %q is not the name of a ServiceAccount", fleet.ErrInvalid, wanted.name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%s %t", wanted.user(), wanted.fallback)
	by := s.used[key]
	if by == nil {
		by = wanted
		if err := s.equip(by); err != nil {
			return nil, fmt.Errorf("act as %s: %w", by, err)
		}
		s.used[key] = by
	}
	by.apps++
	return by, nil
}

// dismiss forgets an account that no App has any more.
func (s *accounts) dismiss(by *account) {
	if by == nil || by == s.self {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if by.apps--; by.apps == 0 {
		delete(s.used, fmt.Sprintf("%s %t", by.user(), by.fallback))
	}
}

// equip gives an account its clients, on the spoke's transport.
func (s *accounts) equip(by *account) error {
	as := *s.http
	as.Transport = transport.NewImpersonatingRoundTripper(transport.ImpersonationConfig{UserName: by.user()}, s.http.Transport)
	meta, err1 := metadata.NewForConfigAndClient(s.config, &as)
	full, err2 := dynamic.NewForConfigAndClient(s.config, &as)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	by.applier, by.corrector = s.self.applier.As(meta, full), s.self.corrector.As(meta, full)
	return nil
}

// blame says of an answer that the account was denied something what there is to do about it.
func (by *account) blame(ctx context.Context, client typedcorev1.ServiceAccountsGetter, err error) error {
	if by.name == "" || !errors.Is(err, fleet.ErrDenied) {
		return err
	}
	text := err.Error()
	switch {
	case strings.Contains(text, " cannot impersonate"):
		return fmt.Errorf("%w; the spoke may not act as %s: give its own account a ClusterRole with the verb impersonate on serviceaccounts", err, by)
	case !strings.Contains(text, `User "`+by.user()+`" cannot `):
		return err // by admission, say
	}
	if there, askErr := by.exists(ctx, client); askErr == nil && !there {
		if by.fallback {
			return fmt.Errorf("%w; %s does not exist: make it, set spec.serviceAccountName, or change the spoke's --default-service-account", err, by)
		}
		return fmt.Errorf("%w; %s does not exist: make it, or change spec.serviceAccountName", err, by)
	}
	return fmt.Errorf("%w; give %s a Role or ClusterRole that allows it", err, by)
}

// exists reports whether there is such a ServiceAccount; the spoke itself there always is.
func (by *account) exists(ctx context.Context, client typedcorev1.ServiceAccountsGetter) (bool, error) {
	if by.name == "" {
		return true, nil
	}
	_, err := client.ServiceAccounts(by.namespace).Get(ctx, by.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get %s: %w", by, err)
	}
	return true, nil
}
