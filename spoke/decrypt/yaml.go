package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// readYAML reads the documents of a file, with their comments where SOPS sees them.
func readYAML(data []byte) ([]mapping, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var r yamlReader
	var trees []mapping
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return trees, nil
		case err != nil:
			return nil, errors.New("it is not YAML") // the cause would show a part of it
		}
		tree, err := r.document(&document)
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
}

type yamlReader struct{ values int }

func (r *yamlReader) document(node *yaml.Node) (mapping, error) {
	tree := notes(mapping{}, false, node.HeadComment, node.LineComment)
	for _, content := range node.Content {
		for depth := 0; content.Kind == yaml.AliasNode; depth++ {
			if depth > maxDepth {
				return nil, errTooMuch
			}
			content = content.Alias
		}
		switch {
		case content.Kind == yaml.MappingNode:
			inner, err := r.mapping(content, 0, true)
			if err != nil {
				return nil, err
			}
			tree = append(tree, inner...)
		case content.Kind == yaml.ScalarNode && content.ShortTag() == "!!null":
			tree = notes(tree, false, content.HeadComment, content.LineComment)
		default:
			return nil, errors.New("it is not a mapping")
		}
	}
	return notes(tree, false, node.FootComment), nil
}

// mapping reads a mapping. Its own comments are among its entries, unless its place has them.
func (r *yamlReader) mapping(node *yaml.Node, depth int, own bool) (mapping, error) {
	m := mapping{}
	if own {
		m = notes(m, false, node.HeadComment, node.LineComment)
	}
	seen := make(map[string]bool, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		m = notes(m, false, key.HeadComment, key.LineComment)
		plain := value.Kind == yaml.ScalarNode || value.Kind == yaml.AliasNode
		if plain {
			m = notes(m, false, value.HeadComment)
			m = notes(m, true, value.LineComment)
		}
		name, is := scalar(key).(string)
		if !is || key.Kind != yaml.ScalarNode {
			return nil, errors.New("it has a key that is not text")
		}
		if seen[name] {
			return nil, fmt.Errorf("it has the key %s twice", where([]string{name}))
		}
		seen[name] = true
		content, err := r.value(value, depth+1, !plain)
		if err != nil {
			return nil, err
		}
		m = append(m, entry{key: name, value: content})
		if plain {
			m = notes(m, false, value.FootComment)
		}
		m = notes(m, false, key.FootComment)
	}
	if own {
		m = notes(m, false, node.FootComment)
	}
	return m, nil
}

func (r *yamlReader) list(node *yaml.Node, depth int, own bool) (list, error) {
	var l list
	add := func(inline bool, texts ...string) {
		for _, e := range notes(nil, inline, texts...) {
			l = append(l, *e.note)
		}
	}
	if own {
		add(false, node.HeadComment, node.LineComment)
	}
	for _, item := range node.Content {
		add(false, item.HeadComment)
		add(true, item.LineComment)
		value, err := r.value(item, depth+1, false)
		if err != nil {
			return nil, err
		}
		l = append(l, value)
		add(false, item.FootComment)
	}
	if own {
		add(false, node.FootComment)
	}
	return l, nil
}

func (r *yamlReader) value(node *yaml.Node, depth int, own bool) (any, error) {
	if r.values++; depth > maxDepth || r.values > maxValues {
		return nil, errTooMuch
	}
	switch node.Kind {
	case yaml.MappingNode:
		return r.mapping(node, depth, own)
	case yaml.SequenceNode:
		return r.list(node, depth, own)
	case yaml.AliasNode:
		return r.value(node.Alias, depth+1, true)
	}
	return scalar(node), nil
}

// scalar is the value of a scalar. One that does not say what it is tagged as is nil.
func scalar(node *yaml.Node) any {
	var value any
	if node.Decode(&value) != nil {
		return nil
	}
	return value
}

// notes appends the lines of comments.
func notes(m mapping, inline bool, texts ...string) mapping {
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				m = append(m, entry{note: &comment{text: line[1:], inline: inline}})
			}
		}
	}
	return m
}

// writeYAML prints trees as SOPS does: comments before the entry that follows them, behind it where they were, or, with
// none to follow, below the last.
func writeYAML(trees []mapping) ([]byte, error) {
	const indent = 4
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(indent)
	for _, tree := range trees {
		content, err := nodeOf(tree)
		if err == nil {
			err = encoder.Encode(&yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{content}})
		}
		if err != nil {
			return nil, errors.New("it has a value that YAML cannot say")
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, errors.New("it has a value that YAML cannot say")
	}
	return out.Bytes(), nil
}

func nodeOf(value any) (*yaml.Node, error) {
	switch v := value.(type) {
	case mapping:
		node := &yaml.Node{Kind: yaml.MappingNode}
		p := placer{parent: node}
		for _, e := range v {
			if e.note != nil {
				p.note(*e.note)
				continue
			}
			key, value := &yaml.Node{}, any(e.value)
			if err := key.Encode(e.key); err != nil {
				return nil, err
			}
			p.begin(key)
			content, err := nodeOf(value)
			if err != nil {
				return nil, err
			}
			p.behind(content)
			node.Content = append(node.Content, key, content)
			p.last = key
		}
		p.end()
		return node, nil
	case list:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		p := placer{parent: node}
		for _, item := range v {
			if c, is := item.(comment); is {
				p.note(c)
				continue
			}
			content, err := nodeOf(item)
			if err != nil {
				return nil, err
			}
			p.begin(content)
			p.behind(content)
			node.Content = append(node.Content, content)
			p.last = content
		}
		p.end()
		return node, nil
	case time.Time, nil, string, int, float64, bool:
		node := &yaml.Node{}
		return node, node.Encode(v)
	}
	return nil, errors.New("unknown value")
}

// placer finds places for the comments of a mapping or list.
type placer struct {
	parent, last *yaml.Node
	head, inline []string
}

func (p *placer) note(c comment) {
	if c.inline {
		p.inline = append(p.inline, c.text)
	} else {
		p.head = append(p.head, c.text)
	}
}

// begin is called before each entry: the comments before the first are the parent's.
func (p *placer) begin(node *yaml.Node) {
	if p.last == nil {
		node = p.parent
	}
	node.HeadComment = joined(lines(p.head), node.HeadComment)
	p.head = nil
}

func (p *placer) behind(node *yaml.Node) {
	node.LineComment = joined(lines(p.inline), node.LineComment)
	p.inline = nil
}

func (p *placer) end() {
	rest := lines(append(p.head, p.inline...))
	if p.last == nil {
		p.parent.HeadComment = joined(rest, p.parent.HeadComment)
	} else {
		p.last.FootComment = joined(p.last.FootComment, rest)
	}
}

func lines(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return "#" + strings.Join(texts, "\n#")
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}
