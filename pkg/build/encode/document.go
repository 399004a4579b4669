package encode

import (
	"bytes"
	"sync"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Document returns the object as AsYAML of kustomize's Resource prints it. It returns false when it is not sure; the
// object may be one for which AsYAML has an error.
func Document(object *yaml.RNode) ([]byte, bool) {
	if object.IsNil() {
		return nil, false
	}
	e, _ := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.out, e.line, e.pairs, e.kept, e.comments = e.out[:0], 0, e.pairs[:0], false, false
	if !e.document(object.Document()) || e.kept && e.comments {
		return nil, false
	}
	return bytes.Clone(e.out), true
}

var encoders = sync.Pool{New: func() any { return &encoder{out: make([]byte, 0, 4<<10)} }}

// encoder writes one document. Its methods return false when it is not sure.
type encoder struct {
	out []byte
	// line is where the line that is being written begins in out.
	line int
	// kept: a text ends with empty lines. comments: there is a comment. Kustomize's first writing of both together may have
	// another empty line.
	kept, comments bool
	// pairs are those of the mappings that are being written, the outermost first.
	pairs []pair
}

type pair struct{ key, value *yaml.Node }

func (e *encoder) document(node *yaml.Node) bool {
	if node.Kind == yaml.DocumentNode {
		if len(node.Content) != 1 || !e.harmless(node) {
			return false
		}
		node = node.Content[0]
	}
	if node.Kind != yaml.MappingNode {
		return false
	}
	if len(node.Content) == 0 {
		e.out = append(e.out, "{}\n"...)
		return e.plainCollection(node, place{})
	}
	return e.mapping(node, place{})
}

// place is where a node is: it decides how its parts are indented, and what kustomize's first writing makes of it.
type place struct {
	indent, depth int
	// flow: in a list or mapping in brackets.
	flow bool
}

// maxDepth is where a document is odd enough to leave it to kustomize.
const maxDepth = 100

// begin starts the next line of a list or mapping. The first of one in a list stands beside the dash.
func (e *encoder) begin(indent int) {
	for len(e.out)-e.line < indent {
		e.out = append(e.out, ' ')
	}
}

func (e *encoder) endLine() {
	e.out = append(e.out, '\n')
	e.line = len(e.out)
}

// mapping writes the pairs in kustomize's order.
func (e *encoder) mapping(node *yaml.Node, at place) bool {
	if !e.plainCollection(node, at) || len(node.Content)%2 != 0 || at.depth > maxDepth {
		return false
	}
	first := len(e.pairs)
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		if !isKey(key) {
			return false
		}
		e.pairs = append(e.pairs, pair{key, node.Content[i+1]})
	}
	if !arrange(e.pairs[first:]) {
		return false
	}
	inside := at.inside(node)
	for i := first; i < first+len(node.Content)/2; i++ {
		p := e.pairs[i]
		if !e.keyComments(p, inside) {
			return false
		}
		e.begin(at.indent)
		e.text(p.key.Value, at.indent, true)
		e.out = append(e.out, ':')
		if isBlock(p.value) {
			e.endLine()
			child := inside
			if p.value.Kind == yaml.MappingNode {
				child.indent += 2 // a list is not indented
			}
			if !e.collection(p.value, child) {
				return false
			}
			continue
		}
		e.out = append(e.out, ' ')
		if !e.leaf(p.value, inside) {
			return false
		}
	}
	e.pairs = e.pairs[:first]
	return true
}

func (e *encoder) sequence(node *yaml.Node, at place) bool {
	if !e.plainCollection(node, at) || at.depth > maxDepth {
		return false
	}
	inside := at.inside(node)
	for _, item := range node.Content {
		e.begin(at.indent)
		e.out = append(e.out, '-', ' ')
		if isBlock(item) {
			child := inside
			child.indent += 2
			if !e.collection(item, child) {
				return false
			}
			continue
		}
		if !e.leaf(item, inside) {
			return false
		}
	}
	return true
}

func (at place) inside(node *yaml.Node) place {
	return place{indent: at.indent, depth: at.depth + 1, flow: at.flow || node.Style&yaml.FlowStyle != 0}
}

// isBlock reports whether the node takes lines of its own.
func isBlock(node *yaml.Node) bool {
	return (node.Kind == yaml.MappingNode || node.Kind == yaml.SequenceNode) && len(node.Content) > 0
}

// hasLine reports whether a list or mapping ends the line that it begins on.
func hasLine(node *yaml.Node) bool { return len(node.Content) == 0 || node.Style&yaml.FlowStyle != 0 }

func (e *encoder) collection(node *yaml.Node, at place) bool {
	if node.Kind == yaml.MappingNode {
		return e.mapping(node, at)
	}
	return e.sequence(node, at)
}

// leaf writes what stands beside its key or dash.
func (e *encoder) leaf(node *yaml.Node, at place) bool {
	switch node.Kind {
	case yaml.MappingNode:
		e.out = append(e.out, '{', '}')
		e.endLine()
		return e.plainCollection(node, at)
	case yaml.SequenceNode:
		e.out = append(e.out, '[', ']')
		e.endLine()
		return e.plainCollection(node, at)
	case yaml.ScalarNode:
		return e.scalar(node, at)
	}
	return false // an alias, or nothing at all
}

// plainCollection reports whether a list or mapping is one without anything odd about it.
func (e *encoder) plainCollection(node *yaml.Node, at place) bool {
	tag := yaml.NodeTagMap
	if node.Kind == yaml.SequenceNode {
		tag = yaml.NodeTagSeq
	}
	return (node.Tag == "" || node.Tag == tag) && node.Style&^yaml.FlowStyle == 0 && node.Anchor == "" &&
		(at.flow && !commented(node) || !at.flow && e.harmless(node) && (node.LineComment+node.FootComment == "" || hasLine(node)))
}

// isKey reports whether the node is a key that stays the same on every part of kustomize's way.
func isKey(node *yaml.Node) bool {
	const longest = 128 // of what goes before a colon without a question mark first
	if node.Kind != yaml.ScalarNode || node.Anchor != "" || len(node.Value) > longest || node.Value == "<<" {
		return false
	}
	switch {
	case node.Tag == yaml.NodeTagString && node.Style&^quotedStyles == 0:
	case node.Tag == "" && node.Style&^quotedStyles == 0 && (node.Style != 0 || plainString(node.Value)):
	default:
		return false
	}
	for i := range len(node.Value) {
		if c := node.Value[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
