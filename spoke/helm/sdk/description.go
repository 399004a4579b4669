package sdk

import (
	"errors"
	"strings"

	release "helm.sh/helm/v4/pkg/release/v1"
)

// refused is where Helm's own words begin in the description of a version that failed.
const refused = " failed: "

// describe takes values of Secrets out of what Helm is about to store as the description of a version that failed: whoever
// lists a release's versions is shown that, and Helm puts there what templates and the API server say. It lets nobody set
// the description of a failure, so that this is done where it is stored.
func (a *action) describe(version *release.Release) {
	if version.Info == nil || !a.sensitive() || a.made[version.Version] != a.request.Action {
		return
	}
	what, why, found := strings.Cut(version.Info.Description, refused)
	if !found || strings.HasSuffix(why, unshown) {
		return
	}
	err := errors.New(why)
	if said := a.heard(); said != nil && strings.HasSuffix(why, said.Error()) {
		err = said // its text is all that is left of it in why
	}
	why = a.explain(err)
	if a.prepared != nil {
		why = a.prepared.values.secrets.mask(why)
	}
	version.Info.Description = what + refused + why
}
