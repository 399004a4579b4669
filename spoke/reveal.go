package spoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/session"
)

// Reveal fills in the values of variables that are from Secrets, read with the config's own way to the cluster: whoever
// has that may see them anyhow. A cluster other than the one that the variables are of is refused.
func Reveal(ctx context.Context, config Config, variables *fleet.Variables) error {
	if !slices.ContainsFunc(variables.Variables, func(v fleet.Variable) bool { return v.Secret != nil }) {
		return nil
	}
	how, err := config.rest()
	if err != nil {
		return err
	}
	core, err := corev1client.NewForConfig(how)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	if err := confirm(ctx, core, "variables", variables.Cluster); err != nil {
		return err
	}
	secrets := map[string]map[string][]byte{}
	var problems []error
	for i := range variables.Variables {
		v := &variables.Variables[i]
		if v.Secret == nil {
			continue
		}
		name := v.Secret.Namespace + "/" + v.Secret.Name
		data, read := secrets[name]
		if !read {
			secret, err := core.Secrets(v.Secret.Namespace).Get(ctx, v.Secret.Name, metav1.GetOptions{})
			if err != nil {
				problems = append(problems, fmt.Errorf("Secret/%s: %w", name, err))
				secrets[name] = nil
				continue
			}
			data = secret.Data
			secrets[name] = data
		}
		if data == nil {
			continue // told once
		}
		value, has := data[v.Secret.Key]
		if !has {
			problems = append(problems, fmt.Errorf("Secret/%s has no key %s any more", name, v.Secret.Key))
			continue
		}
		v.Value = strings.ReplaceAll(string(value), "\n", "") // as substitution does
	}
	return errors.Join(problems...)
}

// RevealValues makes the values of a release anew, with those of Secrets, as Reveal does for variables. They are made by the
// program that has Helm's SDK, which is beside this one.
func RevealValues(ctx context.Context, config Config, values *fleet.HelmValues) error {
	if !values.Secret {
		return nil
	}
	how, err := config.rest()
	if err != nil {
		return err
	}
	core, err := corev1client.NewForConfig(how)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	if err := confirm(ctx, core, "values", values.Cluster); err != nil {
		return err
	}
	return helm.Reveal(ctx, helmProgram{}, how, values)
}

// confirm says whether a cluster is the one that variables or values are of: the Secrets of another have the same names.
func confirm(ctx context.Context, core corev1client.CoreV1Interface, what string, want *fleet.ClusterMark) error {
	if want == nil {
		return errors.New("the " + what + " do not say of which cluster they are: update the spoke of that cluster, and ask again")
	}
	own, err := session.NewSecret(core.Secrets(want.Namespace), ownName).Load(ctx)
	if err != nil {
		return fmt.Errorf("which cluster the kubeconfig leads to stands in Secret/%s/%s: %w", want.Namespace, ownName, err)
	}
	leads := "Cluster/" + own.ClusterName
	switch {
	case own.ClusterID.String() == want.ID:
		return nil
	case own.ClusterID == uuid.Nil:
		leads = "a cluster without Secret/" + want.Namespace + "/" + ownName
	}
	return fmt.Errorf("the kubeconfig leads to %s, and the %s are those of Cluster/%s with the id %s: give the kubeconfig of that one", leads, what, want.Name, want.ID)
}
