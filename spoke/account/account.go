package account

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

// Account is who does what is done to an App's objects: dry-runs, writes, deletions, and the reads before them; and who
// looks at what the App only waits for, and at the objects of a Helm release: which these are stands where a tenant may write.
// The rest stays the spoke's own: watches of drift are shared by all Apps, health of what a Kustomization has is that of what
// it has written itself, the inventory must be out of a tenant's reach, and the kinds that a cluster serves are no secret.
type Account struct {
	// Applier writes for passes and Corrector for corrections, so that neither waits for the other.
	Applier   *apply.Applier
	Corrector *apply.Applier
	// Dynamic and Metadata read.
	Dynamic  dynamic.Interface
	Metadata metadata.Interface

	// namespace and name are the ServiceAccount's; no name: the spoke itself.
	namespace, name string
	// fallback says that the spoke's settings name it, not the App.
	fallback bool
	apps     int // that have it; under Accounts.mu
}

// User is the account's name for the API server, which adds the groups of a service account by itself.
func (by *Account) User() string {
	return "system:serviceaccount:" + by.namespace + ":" + by.name
}

func (by *Account) String() string { return "ServiceAccount/" + by.namespace + "/" + by.name }

// Accounts are those that some App has. All share the spoke's connections, and its bound on requests under way.
type Accounts struct {
	// Self is the spoke itself.
	Self *Account

	config *rest.Config
	http   *http.Client

	mu   sync.Mutex
	used map[string]*Account // by user
}

// New returns Accounts beside the spoke's own, which has those clients: all ask by the same connections.
func New(config *rest.Config, http *http.Client, self *Account) *Accounts {
	return &Accounts{Self: self, config: config, http: http, used: map[string]*Account{}}
}

// Hire returns the account that an App of that namespace names, or the fallback where it names none; let go of it with
// Dismiss.
func (s *Accounts) Hire(namespace, name, fallback string) (*Account, error) {
	wanted := &Account{namespace: namespace, name: name}
	if name == "" {
		wanted.name, wanted.fallback = fallback, true
	}
	if wanted.name == "" {
		return s.Self, nil
	}
	if err := Check(wanted.name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%s %t", wanted.User(), wanted.fallback)
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

// Check refuses what is not the name of a ServiceAccount: a colon would make it another user.
func Check(name string) error {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return fmt.Errorf("%w: %q is not the name of a ServiceAccount", fleet.ErrInvalid, name)
	}
	return nil
}

// Dismiss forgets an account that no App has any more.
func (s *Accounts) Dismiss(by *Account) {
	if by == nil || by == s.Self {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if by.apps--; by.apps == 0 {
		delete(s.used, fmt.Sprintf("%s %t", by.User(), by.fallback))
	}
}

// equip gives an account its clients, on the spoke's transport.
func (s *Accounts) equip(by *Account) error {
	as := *s.http
	as.Transport = transport.NewImpersonatingRoundTripper(transport.ImpersonationConfig{UserName: by.User()}, s.http.Transport)
	meta, err1 := metadata.NewForConfigAndClient(s.config, &as)
	full, err2 := dynamic.NewForConfigAndClient(s.config, &as)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	by.Dynamic, by.Metadata = full, meta
	by.Applier, by.Corrector = s.Self.Applier.As(meta, full), s.Self.Corrector.As(meta, full)
	return nil
}

// Blame says of an answer that the account was denied something what there is to do about it.
func (by *Account) Blame(ctx context.Context, client typedcorev1.ServiceAccountsGetter, err error) error {
	if by.name == "" || !errors.Is(err, fleet.ErrDenied) {
		return err
	}
	text := err.Error()
	switch {
	case strings.Contains(text, " cannot impersonate"):
		return fmt.Errorf("%w; the spoke may not act as %s: give its own account a ClusterRole with the verb impersonate on serviceaccounts", err, by)
	case !strings.Contains(text, `User "`+by.User()+`" cannot `):
		return err // by admission, say
	}
	if there, askErr := by.Exists(ctx, client); askErr == nil && !there {
		if by.fallback {
			return fmt.Errorf("%w; %s does not exist: make it, set spec.serviceAccountName, or change the spoke's --default-service-account", err, by)
		}
		return fmt.Errorf("%w; %s does not exist: make it, or change spec.serviceAccountName", err, by)
	}
	return fmt.Errorf("%w; give %s a Role or ClusterRole that allows it", err, by)
}

// Exists reports whether there is such a ServiceAccount; the spoke itself there always is.
func (by *Account) Exists(ctx context.Context, client typedcorev1.ServiceAccountsGetter) (bool, error) {
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

// Len is how many some App has, beside the spoke's own.
func (s *Accounts) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.used)
}
