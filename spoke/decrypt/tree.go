package decrypt

import (
	"fmt"
	"strings"
	"time"
)

// mapping is what SOPS sees of a mapping: its entries and the comments between them, in the order of the file.
type mapping []entry

// entry is a key with its value, or a comment.
type entry struct {
	key   string
	value any // nil, string, int, float64, bool, time.Time, mapping or list
	note  *comment
}

// list has values and comments.
type list []any

// comment is one line without its mark. Inline ones stand behind a value.
type comment struct {
	text   string
	inline bool
}

// Bounds of a document, beside its size. An alias of YAML stands for what it names as often as it is used.
const (
	maxDepth  = 100
	maxValues = 200_000
)

// find returns the value of a key.
func (m mapping) find(key string) (value any, found bool) {
	for _, e := range m {
		if e.note == nil && e.key == key {
			return e.value, true
		}
	}
	return nil, false
}

// without returns the mapping without a key.
func (m mapping) without(key string) mapping {
	kept := make(mapping, 0, len(m))
	for _, e := range m {
		if e.note != nil || e.key != key {
			kept = append(kept, e)
		}
	}
	return kept
}

// walker decrypts a document in place.
type walker struct {
	rule rule
	open cipher
	// opened is how many values were decrypted.
	opened int
}

// scope has the comments that precede a place, one slice a level, the innermost last: a comment can say whether what
// follows is encrypted.
type scope [][]string

func (w *walker) mapping(m mapping, path []string, above scope) error {
	here := append(above[:len(above):len(above)], nil)
	last := len(here) - 1
	for i := range m {
		e := &m[i]
		if e.note != nil {
			here[last] = append(here[last], e.note.text)
			note, err := w.comment(*e.note, path, here)
			if err != nil {
				return err
			}
			e.note = &note
			continue
		}
		value, err := w.value(e.value, append(path[:len(path):len(path)], e.key), here)
		if err != nil {
			return err
		}
		if _, is := value.(comment); is {
			return fmt.Errorf("%w: %s is of type comment", ErrDamaged, where(append(path, e.key)))
		}
		e.value = value
		here[last] = nil
	}
	return nil
}

func (w *walker) list(l list, path []string, above scope) error {
	here := append(above[:len(above):len(above)], nil)
	last := len(here) - 1
	for i, item := range l {
		note, isComment := item.(comment)
		if isComment {
			here[last] = append(here[last], note.text)
			changed, err := w.comment(note, path, here)
			if err != nil {
				return err
			}
			l[i] = changed
			continue
		}
		value, err := w.value(item, path, here)
		if err != nil {
			return err
		}
		l[i] = value
		here[last] = nil
	}
	return nil
}

func (w *walker) value(value any, path []string, above scope) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case mapping:
		return v, w.mapping(v, path, above)
	case list:
		return v, w.list(v, path, above)
	case string, int, float64, bool, time.Time:
		if !w.rule.encrypts(path, above, false) {
			return v, nil
		}
		text, isText := v.(string)
		if !isText {
			return nil, fmt.Errorf("%w: %s should be encrypted and is not", ErrDamaged, where(path))
		}
		plain, err := w.open.open(text, path)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, where(path), err)
		}
		if text != "" {
			w.opened++
		}
		return plain, nil
	}
	return nil, fmt.Errorf("%w: %s has a value of a kind that SOPS does not know", ErrDamaged, where(path))
}

// comment decrypts a comment. One that does not decrypt was not encrypted: old versions of SOPS left them as they are.
func (w *walker) comment(c comment, path []string, above scope) (comment, error) {
	if !w.rule.encrypts(path, above, true) {
		return c, nil
	}
	switch plain, err := w.open.open(c.text, path); text := plain.(type) {
	case comment:
		return text, nil
	case string:
		if err == nil {
			return comment{text: text, inline: c.inline}, nil
		}
	}
	return c, nil
}

// where names a place in a document.
func where(path []string) string {
	if len(path) == 0 {
		return "the document"
	}
	const most = 200
	name := strings.Join(path, ".")
	if len(name) > most {
		name = name[:most] + "..."
	}
	return fmt.Sprintf("%q", name)
}
