package helm

import (
	"bytes"
	"encoding/json"

	"flotilla.dev/flotilla/hub/source"
)

// json reads an index in JSON, of which nothing is copied but the entry that is being read. The text is valid JSON.
func (p *indexParser) json(data []byte) error {
	data = bytes.TrimSpace(data)
	if data[0] != '{' {
		return wrong("index.yaml is not an index; is this the address of a Helm repository?")
	}
	return members(data, func(key string, value []byte) error {
		switch {
		case key == "apiVersion":
			_ = json.Unmarshal(value, &p.apiVersion) // what is no text is none
		case key == "entries" && value[0] == '{':
			return members(value, p.jsonChart)
		case key == "entries" && string(value) != "null":
			return wrong("index.yaml has entries that are no charts by name")
		}
		return nil
	})
}

func (p *indexParser) jsonChart(name string, value []byte) error {
	if err := p.chart(name); err != nil {
		return err
	}
	if string(value) == "null" {
		return nil
	}
	if value[0] != '[' {
		return wrong("index.yaml: the chart %q has no list of versions", source.Shown(name))
	}
	return elements(value, func(value []byte) error {
		return p.part(name, value, func() (*entry, error) {
			if len(value) > maxDocument {
				return nil, tooLarge("index.yaml: a version of the chart %q has %d bytes; it may have %d", source.Shown(name), len(value), maxDocument)
			}
			if count(value) > maxNodes {
				return nil, tooLarge("index.yaml: a version of the chart %q has more than %d values", source.Shown(name), maxNodes)
			}
			var e *entry
			if json.Unmarshal(value, &e) != nil {
				return nil, nil // not valid
			}
			return e, nil
		})
	})
}

// members calls take for each member of an object in valid JSON. A value is trimmed and not empty.
func members(object []byte, take func(key string, value []byte) error) error {
	rest := bytes.TrimSpace(object[1:])
	for rest[0] != '}' {
		var key string
		length := valueLength(rest)
		if err := json.Unmarshal(rest[:length], &key); err != nil {
			return wrong("index.yaml is not JSON: %s", source.Shown(err.Error()))
		}
		rest = bytes.TrimSpace(rest[length:])
		rest = bytes.TrimSpace(rest[1:]) // the colon
		length = valueLength(rest)
		if err := take(key, rest[:length]); err != nil {
			return err
		}
		rest = next(rest[length:])
	}
	return nil
}

// elements calls take for each element of an array in valid JSON.
func elements(array []byte, take func(value []byte) error) error {
	rest := bytes.TrimSpace(array[1:])
	for rest[0] != ']' {
		length := valueLength(rest)
		if err := take(rest[:length]); err != nil {
			return err
		}
		rest = next(rest[length:])
	}
	return nil
}

// next is what follows a value: the next one, or the end of what it is in.
func next(rest []byte) []byte {
	rest = bytes.TrimSpace(rest)
	if rest[0] == ',' {
		return bytes.TrimSpace(rest[1:])
	}
	return rest
}

// valueLength is the length of the value that valid JSON begins with.
func valueLength(data []byte) int {
	depth, text, escaped := 0, false, false
	for i, c := range data {
		switch {
		case escaped:
			escaped = false
		case text && c == '\\':
			escaped = true
		case c == '"':
			text = !text
			if !text && depth == 0 {
				return i + 1
			}
		case text:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return i // of a number or a word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c <= ' '):
			return i
		}
	}
	return len(data)
}
