package helm

import (
	"bytes"
	"cmp"
	"errors"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/hub/source"
)

// errNotInParts is an index that is not written in lines as helm writes it.
var errNotInParts = errors.New("the index cannot be taken apart")

// yaml reads an index that is written as helm writes it, a line a value:
//
//	entries:
//	  podinfo:
//	  - apiVersion: v2
//	    name: podinfo
//
// Each version is a YAML document by itself, and is parsed as one. A text in quotes may hold lines that look like the next
// version; then the part that it begins in has no closing quote and is no YAML, nor is one that refers to another's anchor.
// For those, and whatever else is in another form, the error is errNotInParts.
func (p *indexParser) yaml(data []byte) error {
	lines := lineReader{rest: data}
	begun := false
	for {
		line, more := lines.next()
		if !more {
			return nil
		}
		if line.blank || line.indent > 0 { // a comment, or what a key holds that is not looked at
			continue
		}
		switch line.text[0] {
		case '%', '-', '.':
			switch {
			case !endsDocument(line.text): // a directive, or a list below a key
			case begun || line.text[0] == '.':
				return nil
			}
			continue
		}
		begun = true
		key, value, found := topLevel(line.text)
		switch {
		case !found:
			return errNotInParts
		case key == "entries" && value == "":
			if err := p.entries(&lines); err != nil {
				return err
			}
		case key == "apiVersion" || value != "" && strings.Contains("\"'[{", value[:1]):
			var head struct {
				APIVersion string              `json:"apiVersion"`
				Entries    map[string][]*entry `json:"entries"`
			}
			if len(line.text) > 1024 || count(line.text) > 100 || yaml.Unmarshal(line.text, &head) != nil || len(head.Entries) > 0 {
				return errNotInParts // it may go on in the next line
			}
			p.apiVersion = cmp.Or(head.APIVersion, p.apiVersion)
		case key == "entries":
			return errNotInParts
		}
	}
}

func endsDocument(text []byte) bool {
	return bytes.HasPrefix(text, []byte("---")) || bytes.HasPrefix(text, []byte("..."))
}

// plainKey is a key of an index as anybody would write it.
var plainKey = regexp.MustCompile(`^("[A-Za-z0-9_-]+"|'[A-Za-z0-9_-]+'|[A-Za-z0-9_-]+)$`)

// topLevel is the key of a line, and what stands beside it.
func topLevel(text []byte) (key, value string, found bool) {
	before, after, found := bytes.Cut(text, []byte(":"))
	if !found || len(after) > 0 && after[0] != ' ' || !plainKey.Match(before) {
		return "", "", false
	}
	value = string(after)
	if i := strings.Index(value, " #"); i >= 0 {
		value = value[:i]
	}
	return strings.Trim(string(before), `"'`), strings.TrimSpace(value), true
}

// entries reads the charts, up to the next key at the margin.
func (p *indexParser) entries(lines *lineReader) error {
	indent, chart, item := -1, "", -1 // of the charts' names; the one that is being read; of its versions
	var part []byte
	flush := func() error {
		if part == nil {
			return nil
		}
		text := part
		part = nil
		return p.part(chart, text, func() (*entry, error) { return yamlPart(chart, text) })
	}
	for {
		line, more := lines.next()
		if !more || !line.blank && line.indent == 0 {
			if more {
				lines.back(line)
			}
			return flush()
		}
		if line.blank {
			if part != nil {
				part = grow(part, line)
			}
			continue
		}
		if indent < 0 {
			indent = line.indent
		}
		isItem := line.text[line.indent] == '-' && (len(line.text) == line.indent+1 || line.text[line.indent+1] == ' ')
		switch {
		case line.indent == indent && !(isItem && chart != "" && (item < 0 || item == indent)):
			if err := flush(); err != nil {
				return err
			}
			name, err := chartKey(line.text)
			if err != nil {
				return err
			}
			if err := p.chart(name); err != nil {
				return err
			}
			chart, item = name, -1
		case chart == "" || line.indent < indent:
			return errNotInParts
		case item < 0 && !isItem:
			return errNotInParts
		case item < 0, isItem && line.indent == item:
			if err := flush(); err != nil {
				return err
			}
			item, part = line.indent, line.withEnd
		case line.indent > item && part != nil:
			part = grow(part, line)
		default:
			return errNotInParts
		}
	}
}

// chartKey is the name in a line such as "  podinfo:". A chart without versions may say so in the line.
func chartKey(text []byte) (string, error) {
	var line map[string][]*entry
	if len(text) > 1024 || count(text) > 10 || yaml.Unmarshal(text, &line) != nil || len(line) != 1 {
		return "", errNotInParts
	}
	for name, entries := range line {
		if len(entries) > 0 {
			return "", errNotInParts
		}
		return name, nil
	}
	return "", errNotInParts
}

// yamlPart reads a version of the chart; nil: it is not valid.
func yamlPart(chart string, text []byte) (*entry, error) {
	if err := check("index.yaml: a version of the chart "+source.Shown(chart), text); err != nil {
		return nil, err
	}
	var list []*entry
	if err := yaml.Unmarshal(text, &list); err != nil {
		if _, err := yaml.YAMLToJSON(text); err != nil {
			return nil, errNotInParts
		}
		return nil, nil // YAML, and no chart
	}
	if len(list) != 1 {
		return nil, errNotInParts
	}
	return list[0], nil
}

// line is a line of a text, and where in it its first character is that is no space.
type line struct {
	text    []byte
	withEnd []byte
	indent  int
	blank   bool // nothing in it, or a comment
}

// grow adds a line to the ones before it, which it follows in the text.
func grow(part []byte, l line) []byte { return part[:len(part)+len(l.withEnd)] }

type lineReader struct {
	rest []byte
	kept *line
}

func (r *lineReader) back(l line) { r.kept = &l }

func (r *lineReader) next() (line, bool) {
	if r.kept != nil {
		l := *r.kept
		r.kept = nil
		return l, true
	}
	if len(r.rest) == 0 {
		return line{}, false
	}
	end := bytes.IndexByte(r.rest, '\n') + 1
	if end == 0 {
		end = len(r.rest)
	}
	l := line{withEnd: r.rest[:end]}
	r.rest = r.rest[end:]
	l.text = bytes.TrimRight(l.withEnd, "\r\n")
	l.indent = len(l.text) - len(bytes.TrimLeft(l.text, " "))
	rest := bytes.TrimSpace(l.text)
	l.blank = len(rest) == 0 || rest[0] == '#'
	return l, true
}
