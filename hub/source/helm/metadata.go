package helm

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/hub/source"
)

// metadata is a Chart.yaml, as helm reads it.
type metadata struct {
	APIVersion   string            `json:"apiVersion"`
	Name         string            `json:"name"`
	Version      string            `json:"version"`
	KubeVersion  string            `json:"kubeVersion"`
	Description  string            `json:"description"`
	Type         string            `json:"type"`
	Keywords     []string          `json:"keywords"`
	Home         string            `json:"home"`
	Sources      []string          `json:"sources"`
	Dependencies []*dependency     `json:"dependencies"`
	Maintainers  []*maintainer     `json:"maintainers"`
	Icon         string            `json:"icon"`
	AppVersion   string            `json:"appVersion"`
	Deprecated   bool              `json:"deprecated"`
	Annotations  map[string]string `json:"annotations"`
	Condition    string            `json:"condition"`
	Tags         string            `json:"tags"`
}

type maintainer struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	URL   string `json:"url"`
}

// dependency is a chart that a chart needs.
type dependency struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository"`
	Condition  string `json:"condition"`
	Tags       []any  `json:"tags"`
	Alias      string `json:"alias"`
}

var aliasPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// as is what the chart is called in the one that needs it.
func (d *dependency) as() string {
	if d.Alias != "" {
		return d.Alias
	}
	return d.Name
}

// problem says what keeps helm from taking the chart; empty: nothing. An index may have dependencies without the alias that
// tells them apart, for some servers drop it.
func (m *metadata) problem(distinct bool) string {
	m.Name = printable(m.Name)
	switch {
	case m.Name == "":
		return "it has no name"
	case m.Name == "." || m.Name == ".." || m.Name != path.Base(m.Name) || len(m.Name) > maxChartName:
		return fmt.Sprintf("its name %q cannot be a chart's", source.Shown(m.Name))
	case m.Version == "":
		return "it has no version"
	case m.Type != "" && m.Type != "application" && m.Type != "library":
		return fmt.Sprintf("its type %q is not application or library", source.Shown(m.Type))
	}
	if _, err := semver.NewVersion(m.Version); err != nil {
		return fmt.Sprintf("its version %q is not a semantic version", source.Shown(m.Version))
	}
	for _, who := range m.Maintainers {
		if who == nil {
			return "it has an empty maintainer"
		}
	}
	names := map[string]bool{}
	for _, d := range m.Dependencies {
		switch {
		case d == nil:
			return "it has an empty dependency"
		case d.Alias != "" && !aliasPattern.MatchString(d.Alias):
			return fmt.Sprintf("the alias %q of its dependency %q has more than letters, digits, _ and -", source.Shown(d.Alias), source.Shown(d.Name))
		case distinct && names[d.as()]:
			return fmt.Sprintf("it has two dependencies with the name or alias %q", source.Shown(d.as()))
		}
		names[d.as()] = true
	}
	return ""
}

// maxChartName leaves room for a version in the name of a file.
const maxChartName = 128

// printable is a text with plain spaces and without what does not print, as helm takes it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, text)
}

// readMetadata reads a chart's Chart.yaml, and the requirements.yaml of an older one. where names the chart in errors, if it
// is not the one that is asked for.
func readMetadata(where string, chartFile, requirements []byte) (*metadata, error) {
	m := &metadata{}
	if err := decode(path.Join(where, "Chart.yaml"), chartFile, m); err != nil {
		return nil, err
	}
	if m.APIVersion == "" {
		m.APIVersion = "v1"
	}
	if len(requirements) > 0 {
		if err := decode(path.Join(where, "requirements.yaml"), requirements, m); err != nil {
			return nil, err
		}
	}
	if problem := m.problem(true); problem != "" {
		return nil, wrong("%s: %s", path.Join(where, "Chart.yaml"), problem)
	}
	return m, nil
}
