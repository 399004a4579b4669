package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// DecodeError says what is wrong with data, which is what is at a path (empty: the object itself) and does not decode from
// JSON: it names the field that has another type than it should.
func DecodeError(path string, data []byte, err error) error {
	var mistyped *json.UnmarshalTypeError
	if !errors.As(err, &mistyped) || mistyped.Field == "" {
		return &fleet.FieldError{Path: path, Problem: strings.TrimPrefix(err.Error(), "json: ")}
	}
	problem := "is a " + yamlNames.Replace(mistyped.Value) + " and should be a " + kindName(mistyped.Type.Kind())
	if mistyped.Type.Kind() == reflect.String {
		problem += ": in YAML, text such as y, no, on or 1.0 needs quotes" // they are no strings without
	}
	return &fleet.FieldError{Path: strings.TrimPrefix(path+"."+fieldOf(data, mistyped), "."), Problem: problem}
}

// fieldOf is the path of a field of data that has another type than it should. A decoder knows it without the places in
// lists and the keys of mappings, which are found by where it was.
func fieldOf(data []byte, mistyped *json.UnmarshalTypeError) string {
	declared := declaredPath(mistyped.Field)
	exact := pathAt(data, mistyped.Offset)
	if !strings.HasPrefix(brackets.ReplaceAllString(exact, ""), declared) {
		return declared // it was in a decoder of its own, which counts from its begin
	}
	return exact
}

var brackets = regexp.MustCompile(`\[[^\]]*\]`)

// declaredPath is a decoder's path of a field without the Go structs that are embedded on the way to it, which no person
// has written.
func declaredPath(field string) string {
	for {
		first, rest, more := strings.Cut(field, ".")
		if !more || first == "" || first[0] < 'A' || first[0] > 'Z' {
			return field
		}
		field = rest
	}
}

// pathAt is the path of the value in data of which the first token ends at an offset, such as waves[0].select.
func pathAt(data []byte, offset int64) string {
	type level struct {
		list bool
		// place in a list, and key in a mapping, of the value that is read; one follows the key that is read if keyed.
		place int
		key   string
		keyed bool
	}
	var levels []level
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels); n > 0 {
			switch l := &levels[n-1]; {
			case l.list:
				l.place++
			case !l.keyed:
				l.key, l.keyed = token.(string), true
				continue
			}
			levels[n-1].keyed = false
		}
		if decoder.InputOffset() >= offset {
			break
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			levels = append(levels, level{list: token == json.Delim('['), place: -1})
		}
	}
	var path strings.Builder
	for _, l := range levels {
		switch {
		case l.list:
			fmt.Fprintf(&path, "[%d]", l.place)
		case strings.ContainsAny(l.key, "./"):
			fmt.Fprintf(&path, "[%s]", l.key)
		default:
			path.WriteString("." + l.key)
		}
	}
	return strings.TrimPrefix(path.String(), ".")
}

// yamlNames turns JSON's names of types into YAML's.
var yamlNames = strings.NewReplacer("object", "mapping", "array", "list", "bool", "boolean")

// kindName is what YAML calls a Go type.
func kindName(kind reflect.Kind) string {
	switch kind {
	case reflect.Bool:
		return "boolean"
	case reflect.Struct, reflect.Map:
		return "mapping"
	case reflect.Slice:
		return "list"
	}
	return kind.String()
}
