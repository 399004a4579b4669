package spoke

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Reveal fills in the values of variables that are from Secrets, read with the config's own way to the cluster: whoever
// has that may see them anyhow.
func Reveal(ctx context.Context, config Config, variables *fleet.Variables) error {
	how, err := config.rest()
	if err != nil {
		return err
	}
	core, err := corev1client.NewForConfig(how)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
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
