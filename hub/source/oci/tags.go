package oci

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/pkg/flux"
)

// newest returns the tag of the highest version in the range of spec.ref.semver, among those that semverFilter lets through.
// Versions have three parts; a leading v is allowed. Where the artifact is a Helm chart, a tag's _ is the version's +.
func newest(tags []string, spec flux.OCIRepository) (string, error) {
	constraint, err := semver.NewConstraint(spec.Ref.SemVer)
	if err != nil {
		return "", fmt.Errorf("spec.ref.semver %q is not a range of versions", spec.Ref.SemVer)
	}
	filter, err := regexp.Compile(spec.Ref.SemVerFilter)
	if err != nil {
		return "", fmt.Errorf("spec.ref.semverFilter %q is not a regular expression", spec.Ref.SemVerFilter)
	}
	chart := spec.LayerSelector != nil && spec.LayerSelector.MediaType == flux.ChartLayer
	var best *semver.Version
	found, versions, passed := "", 0, 0
	for _, tag := range tags {
		if !filter.MatchString(tag) {
			continue
		}
		passed++
		text := tag
		if chart {
			text = strings.ReplaceAll(tag, "_", "+")
		}
		version, err := semver.StrictNewVersion(strings.TrimPrefix(text, "v"))
		if err != nil {
			continue
		}
		versions++
		if !constraint.Check(version) {
			continue
		}
		if best != nil {
			// Versions that differ in their metadata alone are equal; the choice has to be the same at each look.
			if order := version.Compare(best); order < 0 || order == 0 && tag < found {
				continue
			}
		}
		best, found = version, tag
	}
	if best == nil {
		return "", fmt.Errorf("no tag is a version in %q: of %d tags, %d match spec.ref.semverFilter, and %d of those are versions", spec.Ref.SemVer, len(tags), passed, versions)
	}
	return found, nil
}
