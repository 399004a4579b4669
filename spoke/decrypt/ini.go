package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/ini.v1"
)

// readINI reads sections of keys and values. The metadata are a section, in which \n is a new line.
func readINI(data []byte) (mapping, map[string]any, error) {
	file, err := ini.LoadSources(ini.LoadOptions{AllowNonUniqueSections: true}, data)
	if err != nil {
		return nil, nil, errors.New("it is not INI") // the cause would show a part of it
	}
	tree := mapping{}
	for _, section := range file.Sections() {
		content := mapping{}
		if section.Comment != "" {
			content = append(content, entry{note: &comment{text: uncomment(section.Comment)}})
		}
		for _, key := range section.Keys() {
			content = append(content, entry{key: key.Name(), value: key.Value()})
			if key.Comment != "" {
				content = append(content, entry{note: &comment{text: uncomment(key.Comment)}})
			}
		}
		tree = append(tree, entry{key: section.Name(), value: content})
	}
	trees, flat, err := nested([]mapping{tree})
	if err != nil {
		return nil, nil, err
	}
	for key, value := range flat {
		if text, is := value.(string); is {
			flat[key] = strings.ReplaceAll(text, `\n`, "\n")
		}
	}
	fields, err := unflatten(flat)
	return trees[0], fields, err
}

// uncomment takes the mark off a comment.
func uncomment(text string) string {
	switch {
	case strings.HasPrefix(text, ";"):
		return strings.TrimLeft(text, "; ")
	case strings.HasPrefix(text, "#"):
		return strings.TrimLeft(text, "# ")
	}
	return text
}

func writeINI(tree mapping) ([]byte, error) {
	file := ini.Empty(ini.LoadOptions{AllowNonUniqueSections: true})
	file.DeleteSection(ini.DefaultSection)
	for _, e := range tree {
		if e.note != nil {
			continue
		}
		content, is := e.value.(mapping)
		if !is {
			return nil, fmt.Errorf("%s is not a section, and INI has nothing else at the top", where([]string{e.key}))
		}
		section, err := file.NewSection(e.key)
		if err != nil {
			return nil, fmt.Errorf("%s is no name of a section", where([]string{e.key}))
		}
		if err := writeSection(section, content); err != nil {
			return nil, fmt.Errorf("section %s: %w", where([]string{e.key}), err)
		}
	}
	var out bytes.Buffer
	if _, err := file.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("write INI: %w", err)
	}
	return out.Bytes(), nil
}

// writeSection writes a section's keys. A comment belongs to the key before it, the first to the section.
func writeSection(section *ini.Section, content mapping) error {
	var last *ini.Key
	for i, e := range content {
		switch {
		case e.note != nil && i == 0:
			section.Comment = e.note.text
			continue
		case e.note != nil:
			if last != nil {
				last.Comment = e.note.text
			}
			continue
		}
		switch e.value.(type) {
		case mapping, list:
			return fmt.Errorf("%s is not one value, and INI has no others", where([]string{e.key}))
		}
		key, err := section.NewKey(e.key, textual(e.value))
		if err != nil {
			return fmt.Errorf("%s is no name of a key", where([]string{e.key}))
		}
		last = key
	}
	return nil
}
