package buildtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// style is a way of writing YAML.
type style struct {
	json, flow, comments, anchors, crlf, bom, markers bool
	// quotes are of strings that need none: of some of them.
	quotes yaml.Style
	indent int
}

// style draws one; plain block style most of the time.
func (d *drawer) style() style {
	s := style{indent: 2}
	if !d.plan.odd || !d.chance(60) {
		return s
	}
	switch d.upTo(12) {
	case 0, 1:
		s.comments = true
	case 2:
		s.flow = true
	case 3, 4:
		s.quotes = []yaml.Style{yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}[d.upTo(4)]
	case 5:
		s.json = true
	case 6:
		s.anchors = true
	case 7:
		s.crlf = true
	case 8:
		s.bom = true
	case 9:
		s.markers = true
	case 10:
		s.indent = 4
	case 11:
		s.quotes, s.comments, s.indent, s.markers = yaml.DoubleQuotedStyle, true, 3, true
	}
	return s
}

// yaml writes documents as one file.
func (d *drawer) yaml(documents ...any) string { return d.styled(d.style(), documents...) }

func (d *drawer) styled(s style, documents ...any) string {
	var out strings.Builder
	if s.bom {
		out.WriteString("\ufeff")
	}
	for i, document := range documents {
		text := d.document(s, document)
		switch {
		case s.markers:
			out.WriteString(d.pick("", "---\n", "---\n# nothing\n", "\n\n") + "---\n" + text + d.pick("", "...\n", "---\n", "--- # end\n"))
		case i > 0 || s.comments:
			out.WriteString("---\n" + text)
		default:
			out.WriteString(text)
		}
	}
	if s.crlf {
		return strings.ReplaceAll(out.String(), "\n", "\r\n")
	}
	return out.String()
}

func (d *drawer) document(s style, document any) string {
	if s.json {
		if data, err := json.MarshalIndent(plainly(document), "", d.pick("", "  ")); err == nil {
			return string(data) + "\n"
		}
	}
	w := writer{drawer: d, style: s, anchored: map[string]*yaml.Node{}}
	node := w.node(document)
	if s.comments {
		node.HeadComment, node.FootComment = "# at the top", "# at the end"
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(s.indent)
	if err := encoder.Encode(node); err != nil {
		d.t.Fatalf("%v: %v", document, err)
	}
	written := out.String()
	for i, raw := range w.scalars {
		written = strings.Replace(written, fmt.Sprintf(placeholder, i), raw, 1)
	}
	return written
}

// placeholder stands for a scalar until it can be put in as it is.
const placeholder = "scalar-%04d-here"

// plainly has the values of scalars, for JSON.
func plainly(v any) any {
	switch v := v.(type) {
	case fields:
		out := fields{}
		for key, value := range v {
			out[key] = plainly(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = plainly(value)
		}
		return out
	case scalar:
		var out any
		if yaml.Unmarshal([]byte(v), &out) != nil {
			return string(v)
		}
		return out
	}
	return v
}

// writer turns values into nodes of one document.
type writer struct {
	*drawer
	style
	anchored map[string]*yaml.Node
	scalars  []string
}

func (w *writer) node(v any) *yaml.Node {
	n := &yaml.Node{}
	switch v := v.(type) {
	case fields:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		for _, key := range sortedKeys(v) {
			n.Content = append(n.Content, text(key), w.node(v[key]))
		}
	case []any:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for _, value := range v {
			n.Content = append(n.Content, w.node(value))
		}
	case []string:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for _, value := range v {
			n.Content = append(n.Content, w.node(value))
		}
	case string:
		n = text(v)
		if w.quotes != 0 && w.chance(50) && (strings.Contains(v, "\n") || w.quotes == yaml.DoubleQuotedStyle || w.quotes == yaml.SingleQuotedStyle) {
			n.Style = w.quotes
		}
	case scalar:
		n.Kind, n.Value = yaml.ScalarNode, fmt.Sprintf(placeholder, len(w.scalars))
		w.scalars = append(w.scalars, string(v))
		return n
	default:
		if err := n.Encode(v); err != nil {
			w.t.Fatalf("%v: %v", v, err)
		}
	}
	if w.flow && n.Kind != yaml.ScalarNode && w.chance(50) {
		n.Style = yaml.FlowStyle
	}
	if w.comments && (n.Kind == yaml.ScalarNode || len(n.Content) > 0) && w.chance(15) {
		n.LineComment = "# " + w.pick("why", "TODO: later", "{{ .Values }}")
	}
	if w.anchors {
		return w.alias(n)
	}
	return n
}

// text is the node of a string. Words that older YAML reads as true and false are quoted: as keys, kustomize would end the
// process for them.
func text(v string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(v)
	switch strings.ToLower(v) {
	case "y", "n", "yes", "no", "on", "off":
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// alias has a node that is there twice refer to the first, or take its fields over by a merge key.
func (w *writer) alias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.ScalarNode && len(n.Value) < 3 || n.Kind != yaml.ScalarNode && len(n.Content) == 0 {
		return n
	}
	same, err := yaml.Marshal(n)
	if err != nil {
		return n
	}
	first := w.anchored[string(same)]
	if first == nil {
		w.anchored[string(same)] = n
		return n
	}
	if !w.chance(60) {
		return n
	}
	if first.Anchor == "" {
		first.Anchor = fmt.Sprintf("a%d", len(w.anchored))
	}
	reference := &yaml.Node{Kind: yaml.AliasNode, Value: first.Anchor, Alias: first}
	if n.Kind == yaml.MappingNode && w.chance(40) {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!merge", Value: "<<"}, reference}}
	}
	return reference
}

// sortedKeys has those first that people write first.
func sortedKeys(v fields) []string {
	rank := func(key string) int {
		return slices.Index([]string{"spec", "name", "metadata", "kind", "apiVersion"}, key)
	}
	return slices.SortedFunc(maps.Keys(v), func(a, b string) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return rb - ra
		}
		return strings.Compare(a, b)
	})
}
