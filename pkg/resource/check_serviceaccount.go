package resource

import (
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// checkServiceAccount checks what a registry is asked with for a Source that names the ServiceAccount.
func checkServiceAccount(o *Object) error {
	var fields fleet.Fields
	if len(o.Spec) != 0 {
		fields.Refuse("spec", "a ServiceAccount has no spec")
	}
	for i, ref := range o.ImagePullSecrets {
		fields.Require(fmt.Sprintf("imagePullSecrets[%d].name", i), ref.Name)
	}
	return fields.Err()
}
