package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/sops"
)

const dotenvPrefix = sops.MetadataKey + "_"

// readDotenv reads lines of KEY=value, where \n in a value is a new line. The metadata are lines of their own.
func readDotenv(data []byte) (mapping, map[string]any, error) {
	tree := mapping{}
	flat := map[string]any{}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		text := string(line)
		if text == "" {
			continue
		}
		if note, is := strings.CutPrefix(text, "#"); is {
			tree = append(tree, entry{note: &comment{text: note}})
			continue
		}
		key, value, found := strings.Cut(text, "=")
		if !found {
			return nil, nil, errors.New("it has a line that is not KEY=value")
		}
		value = strings.ReplaceAll(value, `\n`, "\n")
		if field, is := strings.CutPrefix(key, dotenvPrefix); is {
			flat[field] = value
			continue
		}
		tree = append(tree, entry{key: key, value: value})
	}
	if len(flat) == 0 {
		return nil, nil, errNoMetadata
	}
	fields, err := unflatten(flat)
	return tree, fields, err
}

func writeDotenv(tree mapping) ([]byte, error) {
	var out bytes.Buffer
	for _, e := range tree {
		if e.note != nil {
			fmt.Fprintf(&out, "#%s\n", e.note.text)
			continue
		}
		switch e.value.(type) {
		case mapping, list:
			return nil, fmt.Errorf("%s is not one value, and dotenv has no others", where([]string{e.key}))
		}
		text, isText := e.value.(string)
		if isText {
			text = strings.ReplaceAll(text, "\n", `\n`)
		} else {
			text = textual(e.value)
		}
		fmt.Fprintf(&out, "%s=%s\n", e.key, text)
	}
	return out.Bytes(), nil
}
