package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// HelmReleaseKind is the kind of App that values are for.
const HelmReleaseKind = "HelmRelease"

// ValuesFor are the values for an App in the cluster of that name and labels: those of all overrides that concern it,
// merged in their order. nil: there are none. The same overrides give the same bytes.
func (p Placement) ValuesFor(app AppRef, cluster string, labels map[string]string) json.RawMessage {
	var merged map[string]any
	if app.Kind != HelmReleaseKind {
		return nil
	}
	for _, o := range p.Overrides {
		if len(o.Values) == 0 || !o.concerns(app, cluster, labels) {
			continue
		}
		values, err := decodeValues(o.Values)
		if err != nil {
			continue // was refused when it was declared
		}
		merged = MergeValues(merged, values)
	}
	if len(merged) == 0 {
		return nil
	}
	data, err := json.Marshal(merged)
	if err != nil {
		panic(fmt.Sprintf("encode values: %v", err)) // they were decoded
	}
	return data
}

// decodeValues reads a mapping, its numbers as they are written.
func decodeValues(data []byte) (values map[string]any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	err = decoder.Decode(&values)
	return values, err
}

// MergeValues puts values over others, as Helm does with one file of values and another: mappings are merged, whatever else
// takes the place of what was there. null stays: it takes a chart's own value away. Neither is changed; what comes of it
// shares what is below them.
func MergeValues(under, over map[string]any) map[string]any {
	merged := maps.Clone(under)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range over {
		inner, isMap := value.(map[string]any)
		if before, both := merged[key].(map[string]any); both && isMap {
			value = MergeValues(before, inner)
		}
		merged[key] = value
	}
	return merged
}

// validateValues checks that the values of an override are a mapping, and for HelmReleases. size is how many bytes they have.
func (p Placement) validateValues(fields *Fields, at string, o Override) (size int) {
	if len(o.Values) == 0 {
		return 0
	}
	if string(bytes.TrimSpace(o.Values)) == "null" {
		fields.Refuse(at+".values", "is not a mapping")
	}
	size = ValidateValues(fields, at+".values", o.Values)
	isOther := func(app AppRef) bool { return app.Kind != HelmReleaseKind }
	switch others := slices.IndexFunc(o.Apps, isOther); {
	case others >= 0:
		fields.Refuse(at+".values", "are for HelmReleases, and apps has %s/%s: name only HelmReleases, or change its objects by patches", o.Apps[others].Kind, o.Apps[others].Name)
	case len(o.Apps) == 0 && !slices.ContainsFunc(p.Apps, func(app AppRef) bool { return app.Kind == HelmReleaseKind }):
		fields.Refuse(at+".values", "are for HelmReleases, and spec.apps has none: change the objects of a Kustomization by patches")
	}
	return size
}
