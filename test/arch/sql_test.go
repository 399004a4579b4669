package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The Assignments: one file writes their table, and one, which saves what hub/rollout has decided, has it do so.
const (
	assignmentWriter = "hub/store/assignment_write.go"
	assignmentCaller = "hub/store/rollout.go"
)

var (
	writesAssignment  = regexp.MustCompile(`(?i)\b(insert\s+into|update|delete\s+from|truncate(\s+table)?|merge\s+into|copy)\s+(only\s+)?assignment\b`)
	assignmentWriters = []string{"assignmentRows", "dropAssignments"}
)

func TestAssignmentsAreWrittenByTheRolloutAlone(t *testing.T) {
	t.Parallel()
	writes, calls := 0, 0
	for name, file := range sources(t, "hub") {
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.BasicLit:
				if n.Kind != token.STRING || !writesAssignment.MatchString(n.Value) {
					break
				}
				if writes++; name != assignmentWriter {
					t.Errorf("%s writes table assignment: a change of what a cluster has is decided by hub/rollout and saved by %s", name, assignmentWriter)
				}
			case *ast.Ident:
				if name == assignmentWriter || !slices.Contains(assignmentWriters, n.Name) {
					break
				}
				if calls++; name != assignmentCaller {
					t.Errorf("%s uses %s: only a Step of hub/rollout, saved by %s, changes an Assignment", name, n.Name, assignmentCaller)
				}
			}
			return true
		})
	}
	if writes == 0 || calls < len(assignmentWriters) {
		t.Errorf("found %d statements that write table assignment, and %d uses of %v: has either moved?", writes, calls, assignmentWriters)
	}
}

// A statement put together from a table's name would get past the test above.
func TestAssignmentsAreNamedInNoStatementPutTogether(t *testing.T) {
	t.Parallel()
	for name, file := range sources(t, "hub") {
		ast.Inspect(file, func(node ast.Node) bool {
			list, isList := node.(*ast.CompositeLit)
			if !isList || name == assignmentWriter {
				return true
			}
			for _, element := range list.Elts {
				if literal, isLiteral := element.(*ast.BasicLit); isLiteral && literal.Value == `"assignment"` {
					t.Errorf("%s lists table assignment: if that is to change it, %s is the place", name, assignmentWriter)
				}
			}
			return true
		})
	}
}

// sources are the parsed files of a directory and those below, tests left out, by path in the module.
func sources(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	root := moduleRoot(t)
	files := map[string]*ast.File{}
	for name, p := range packages(t) {
		if side(name) != dir {
			continue
		}
		for _, base := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name, base), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files[strings.TrimPrefix(name+"/"+base, "./")] = file
		}
	}
	return files
}
