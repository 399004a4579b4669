package encode

import (
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Comments are not printed, but kustomize's first writing has them, and reads it again: one that lands within brackets or
// in a text of several lines would change what is read.

func commented(node *yaml.Node) bool {
	return node.HeadComment != "" || node.LineComment != "" || node.FootComment != ""
}

// harmless reports whether the comments of a node in a place of its own stay comments.
func (e *encoder) harmless(node *yaml.Node) bool {
	if !commented(node) {
		return true
	}
	e.comments = true
	return isComment(node.HeadComment) && isComment(node.FootComment) &&
		isComment(node.LineComment) && !strings.Contains(node.LineComment, "\n")
}

// isComment reports whether nothing in the text could end a comment's line but what ends it here, too.
func isComment(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\n' && c != '\t' || c > '~' {
			return false
		}
	}
	return true
}

// keyComments reports whether the comments of the key stay comments. One on the key's line is written after a value
// that is there, too.
func (e *encoder) keyComments(p pair, at place) bool {
	if !commented(p.key) {
		return true
	}
	if at.flow || !e.harmless(p.key) {
		return false
	}
	return p.key.LineComment == "" || isBlock(p.value) && !hasLine(p.value)
}
