package helm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// values are what takes the place of a chart's values.yaml.
type values struct {
	// text is the new values.yaml; changed says whether there is one.
	text    []byte
	changed bool
	// used are the files that it was made of.
	used []string
}

// mergeValues merges the values files of the spec, of which a later one goes over an earlier one. read gets a file; nil: it is
// not there. own is the chart's values.yaml, nil for a chart without one, which cannot be given values, as in Flux.
func mergeValues(spec flux.HelmChart, own []byte, read func(name string) ([]byte, error)) (values, error) {
	if len(spec.GetValuesFiles()) == 0 {
		return values{}, nil
	}
	merged := map[string]any{}
	used := []string{}
	for _, name := range spec.ValuesFiles {
		data, err := read(name)
		if err != nil {
			return values{}, err
		}
		if data == nil {
			if spec.IgnoreMissingValuesFiles {
				continue
			}
			return values{}, wrong("there is no values file %q; correct spec.valuesFiles, or set spec.ignoreMissingValuesFiles", source.Shown(name))
		}
		next := map[string]any{}
		if err := decode(source.Shown(name), data, &next); err != nil {
			return values{}, err
		}
		merged = overlay(merged, next)
		used = append(used, name)
	}
	if own == nil {
		return values{}, wrong("the chart has no values.yaml, so spec.valuesFiles has nothing to take the place of")
	}
	var text []byte
	if len(merged) > 0 {
		var err error
		if text, err = yaml.Marshal(merged); err != nil {
			return values{}, wrong("the merged values files: %s", source.Shown(err.Error()))
		}
	}
	if bytes.Equal(text, own) {
		return values{}, nil
	}
	return values{text: text, changed: true, used: used}, nil
}

// overlay puts the values of b over those of a, map by map.
func overlay(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	for key, value := range b {
		below, isMap := out[key].(map[string]any)
		above, alsoMap := value.(map[string]any)
		if isMap && alsoMap {
			value = overlay(below, above)
		}
		out[key] = value
	}
	return out
}

// joined makes one document of a values.yaml of several, which helm reads as one over the other.
func joined(data []byte) ([]byte, error) {
	var documents [][]byte
	var document []byte
	for text := range bytes.Lines(data) {
		if rest, found := bytes.CutPrefix(text, []byte("---")); found && len(bytes.TrimSpace(rest)) == 0 {
			documents, document = append(documents, document), nil
			continue
		}
		document = append(document, text...)
	}
	if len(documents) == 0 {
		return data, nil
	}
	if err := check("values.yaml", data); err != nil {
		return nil, err
	}
	merged := map[string]any{}
	for _, document := range append(documents, document) {
		next := map[string]any{}
		if err := decode("values.yaml", document, &next); err != nil {
			return nil, err
		}
		merged = overlay(merged, next)
	}
	return yaml.Marshal(merged)
}

// clean is the path of a file of a chart, or of a source, as the spec names it.
func clean(name string) string { return path.Clean(strings.TrimLeft(name, "/")) }

// revise is a chart's version with marks of what it was made of beside its source (semver's build metadata).
func revise(version string, marks ...string) (string, error) {
	var all []string
	for _, mark := range marks {
		if mark != "" {
			all = append(all, mark)
		}
	}
	if len(all) == 0 {
		return version, nil
	}
	parsed, err := semver.NewVersion(version)
	if err != nil {
		return "", wrong("the chart's version %q is not a semantic version", source.Shown(version))
	}
	marked, err := parsed.SetMetadata(strings.Join(all, "."))
	if err != nil {
		return "", wrong("the chart's version cannot have %q in it", source.Shown(strings.Join(all, ".")))
	}
	return marked.String(), nil
}

// markLength is how much of a digest a version has: it becomes a label's value, which has 63 characters, and a chart's name
// stands before it.
const markLength = 12

// valuesMark is the mark of the values files, which together with a chart's version say what is packaged.
func valuesMark(spec flux.HelmChart) (string, error) {
	if len(spec.GetValuesFiles()) == 0 {
		return "", nil
	}
	text, err := json.Marshal(struct {
		Files  []string
		Ignore bool
	}{spec.ValuesFiles, spec.IgnoreMissingValuesFiles})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:markLength], nil
}

// withVersion is a Chart.yaml with another version.
func withVersion(chartFile []byte, version string) ([]byte, error) {
	fields := map[string]any{}
	if err := decode("Chart.yaml", chartFile, &fields); err != nil {
		return nil, err
	}
	fields["version"] = version
	return yaml.Marshal(fields)
}
